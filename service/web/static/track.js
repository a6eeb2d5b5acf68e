/** The track of a slider: what the prediction would be for each value, and below it the training range. */

const [STRIPES_HEIGHT, CURVE_HEIGHT] = [9, 14]; // px; the line below shows the training range
const [STRIPES_GAP, CURVE_GAP] = [3, 1.5]; // px between them
const MIN_CURVE = 0.12; // of the track's height, so that the lowest value of a curve is visible

/**
 * @param {HTMLCanvasElement} canvas
 * @param {object} drawing `{scale, sweep, range, isCurve}`: the sweep as `Sliders` has prepared it, or null
 */
export function paintTrack(canvas, { scale, sweep, range, isCurve }, styles) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const ratio = devicePixelRatio;
  const [trackHeight, gap] = isCurve ? [CURVE_HEIGHT, CURVE_GAP] : [STRIPES_HEIGHT, STRIPES_GAP];
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
  const x = (value) => width * scale(value);
  if (sweep?.labels) paintStripes(context, sweep, x, width, ratio, styles);
  else if (sweep) paintCurve(context, sweep, x, width, styles);
  context.restore();
  if (!range) return;
  const [lowest, highest] = range.map(x);
  context.fillStyle = styles.getPropertyValue("--muted");
  context.fillRect(lowest, trackHeight + gap, Math.max(2, highest - lowest), 1.5);
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
