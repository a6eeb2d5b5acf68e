// What the page uses of D3; `./update` makes d3.js of it.
export { select } from "d3-selection";
export { scaleLinear, scaleLog } from "d3-scale";
export { linkHorizontal } from "d3-shape";
