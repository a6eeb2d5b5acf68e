/** The track of a slider: what the prediction would be for each value, and below it the training range. */

const [STRIPES_HEIGHT, CURVE_HEIGHT] = [9, 14]; // px; the line below shows the training range
const [STRIPES_GAP, CURVE_GAP] = [3, 1.5]; // px between them
const [PART_GAP, MIN_PART] = [2, 6]; // px between the parts of a category's track, if they are wider than so many
const [OWN_FRAME, MIN_OWN] = [2, 6]; // px: line and least width of the frame around the own part
const MIN_CURVE = 0.12; // of the track's height, so that the lowest value of a curve is visible

/**
 * @param {HTMLCanvasElement} canvas
 * @param {object} drawing `{scale, sweep, range, isCurve}`: the sweep as `Sliders` has prepared it, or null
 */
export function paintTrack(canvas, { scale, sweep, range, isCurve }, styles) {
  const [trackHeight, gap] = isCurve ? [CURVE_HEIGHT, CURVE_GAP] : [STRIPES_HEIGHT, STRIPES_GAP];
  const { context, width, ratio } = beginTrack(canvas, trackHeight, styles);
  const x = (value) => width * scale(value);
  if (sweep?.labels) paintStripes(context, sweep, x, width, ratio, styles);
  else if (sweep) paintCurve(context, sweep, x, width, styles);
  context.restore();
  if (!range) return;
  const [lowest, highest] = range.map(x);
  context.fillStyle = styles.getPropertyValue("--muted");
  context.fillRect(lowest, trackHeight + gap, Math.max(2, highest - lowest), 1.5);
}

/**
 * A part of the track for each alternative of a category: a stripe in the colour of its label, or a bar as high as its
 * output. The own one has a frame.
 */
export function paintAlternatives(canvas, alternatives, own, styles) {
  const isBar = alternatives[0]?.label === null;
  const trackHeight = isBar ? CURVE_HEIGHT : STRIPES_HEIGHT;
  const { context, width } = beginTrack(canvas, trackHeight, styles);
  const step = width / alternatives.length;
  const gap = step > MIN_PART ? PART_GAP : 0;
  alternatives.forEach(({ strength, colorIndex }, index) => {
    const height = isBar ? CURVE_HEIGHT * (MIN_CURVE + (1 - MIN_CURVE) * strength) : STRIPES_HEIGHT;
    context.globalAlpha = isBar ? 1 : 0.2 + 0.8 * strength;
    context.fillStyle = styles.getPropertyValue(`--label-${colorIndex % 8}`);
    context.fillRect(index * step + gap / 2, trackHeight - height, step - gap, height);
  });
  context.globalAlpha = 1;
  context.restore();
  if (own < 0) return;
  context.strokeStyle = styles.getPropertyValue("--text");
  context.lineWidth = OWN_FRAME;
  const frame = Math.max(step, MIN_OWN) - OWN_FRAME;
  const left = Math.min(width - frame - OWN_FRAME / 2, Math.max(OWN_FRAME / 2, (own + 0.5) * step - frame / 2));
  context.strokeRect(left, OWN_FRAME / 2, frame, trackHeight - OWN_FRAME);
}

/** Clears a canvas, and clips it to an empty track until the next `restore`. */
function beginTrack(canvas, trackHeight, styles) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const ratio = devicePixelRatio;
  if (canvas.width !== Math.round(width * ratio)) [canvas.width, canvas.height] = [width * ratio, height * ratio];
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.save();
  context.beginPath();
  context.roundRect(0, 0, width, trackHeight, STRIPES_HEIGHT / 2);
  context.clip();
  context.fillStyle = styles.getPropertyValue("--track");
  context.fillRect(0, 0, width, trackHeight);
  return { context, width, ratio };
}

/** One stripe for each value of the sweep, up to half way to its neighbours; paler where the probability is lower. */
function paintStripes(context, { values, labels, probabilities, allLabels }, x, width, ratio, styles) {
  const positions = values.map(x);
  const lowest = 1 / allLabels.length;
  for (let i = 0, from = 0; i < positions.length; i++) {
    // Whole device pixels, so that no seam shows between stripes.
    const to = i === positions.length - 1 ? width : Math.round((ratio * (positions[i] + positions[i + 1])) / 2) / ratio;
    const certainty = (probabilities[labels[i]][i] - lowest) / (1 - lowest); // negative below a threshold
    context.globalAlpha = 0.2 + 0.8 * Math.max(0, certainty);
    context.fillStyle = styles.getPropertyValue(`--label-${allLabels.indexOf(labels[i]) % 8}`);
    context.fillRect(from, 0, to - from, STRIPES_HEIGHT);
    from = to;
  }
  context.globalAlpha = 1;
}

/** A filled curve, between the smallest and the largest value of all sweeps. */
function paintCurve(context, { values, curve, domain: [lowest, highest], colorIndex }, x, width, styles) {
  const share = (value) => (highest > lowest ? (value - lowest) / (highest - lowest) : 0.5);
  const y = (value) => CURVE_HEIGHT * (1 - MIN_CURVE - (1 - MIN_CURVE) * share(value));
  context.beginPath();
  context.moveTo(0, CURVE_HEIGHT);
  context.lineTo(0, y(curve[0]));
  values.forEach((value, i) => context.lineTo(x(value), y(curve[i])));
  context.lineTo(width, y(curve.at(-1)));
  context.lineTo(width, CURVE_HEIGHT);
  context.fillStyle = styles.getPropertyValue(`--label-${colorIndex % 8}`);
  context.fill();
}
