/** Keras' activation functions of one number, for the forward pass in the browser; softmax takes a whole layer. */

const SELU = [1.0507009873554805, 1.6732632423543772];
const clip = (x, low, high) => Math.min(high, Math.max(low, x));
const sigmoid = (x) => 0.5 * (1 + Math.tanh(0.5 * x)); // exp would overflow
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const elu = (x, alpha = 1) => (x > 0 ? x : alpha * Math.expm1(x));

/** Each takes a number and the parameters that differ from Keras' defaults. */
const FUNCTIONS = {
  linear: (x) => x,
  relu: (x, { negative_slope: slope = 0, max_value: max = Infinity, threshold = 0 }) =>
    x > threshold ? Math.min(x, max) : slope * (x - threshold),
  relu6: (x) => clip(x, 0, 6),
  leaky_relu: (x, { negative_slope: slope = 0.2 }) => (x > 0 ? x : slope * x),
  elu: (x, { alpha }) => elu(x, alpha),
  selu: (x) => SELU[0] * elu(x, SELU[1]),
  sigmoid,
  hard_sigmoid: (x) => clip(x / 6 + 0.5, 0, 1),
  tanh: Math.tanh,
  softplus,
  softsign: (x) => x / (1 + Math.abs(x)),
  silu: (x) => x * sigmoid(x),
  hard_silu: (x) => x * clip(x / 6 + 0.5, 0, 1),
  mish: (x) => x * Math.tanh(softplus(x)),
  gelu: (x, { approximate = 0 }) => 0.5 * x * (1 + (approximate ? approximateErf(x) : erf(x / Math.SQRT2))),
  exponential: Math.exp,
};
const PARAMETERS = {
  relu: ["negative_slope", "max_value", "threshold"],
  leaky_relu: ["negative_slope"],
  elu: ["alpha"],
  gelu: ["approximate"],
};

/** The outputs of a layer from its sums; null if the activation, or one of its parameters, is not known. */
export function activate(name, sums, parameters = {}) {
  if (!Object.keys(parameters).every((parameter) => PARAMETERS[name]?.includes(parameter))) return null;
  if (name === "softmax") return softmax(sums);
  const apply = FUNCTIONS[name];
  return apply ? sums.map((sum) => apply(sum, parameters)) : null;
}

export function softmax(sums) {
  const largest = Math.max(...sums);
  const powers = sums.map((sum) => Math.exp(sum - largest));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

/** The approximation of Keras' `approximate`, of the error function of x / √2. */
function approximateErf(x) {
  return Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3));
}

/** The error function, to 2e-7 (Abramowitz and Stegun 1964, formula 7.1.26). */
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return Math.sign(x) * (1 - series * Math.exp(-x * x));
}
