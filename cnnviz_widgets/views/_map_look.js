/**
 * What the images of a map look like: their colours, which are hidden or chosen, how large they are at which zoom.
 */

/** Told apart on a light and on a dark ground, the first ones also by the colour-blind. */
const MAP_COLORS = [
  "#3b8fd4", "#e8862e", "#2ba884", "#d1569c", "#c9a227", "#8a6fd1", "#d9534a", "#4fb3bf", "#7f9a3a", "#a3714f",
];
/** From low to high. */
const MAP_SCALE = ["#3f2a74", "#3a5b9b", "#27908d", "#62bf62", "#f2dc3c"];
const NO_LABEL = "#8c8c8c";
const GOLDEN_ANGLE = 137.508;
/** Images grow by this when the map grows by two, so that they come apart. */
const GROWTH = 1.6;
/** How large they are in the overview, in the mean distance of neighbours. In a grid they do not overlap, and stay close. */
const OVERLAP = 1.4;
const GRID_OVERLAP = 0.92;
const GRID_GROWTH = 2;
const LARGEST_GROWN = 1.25;
const SMALLEST_IMAGE = 6;
const FADED = 0.16;

/** @param {string} color "#rrggbb" @returns {number[]} */
function channelsOf(color) {
  return [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
}

/** An opaque pixel in the byte order of ImageData. @param {ArrayLike<number>} channels */
function packedColor(channels) {
  return ((255 << 24) | (channels[2] << 16) | (channels[1] << 8) | channels[0]) >>> 0;
}

/** @param {number} pixel @returns {string} */
function cssColor(pixel) {
  return `rgb(${pixel & 255}, ${(pixel >> 8) & 255}, ${(pixel >> 16) & 255})`;
}

/** @param {number} index @returns {number[]} a colour for any number of labels */
function labelChannels(index) {
  if (index < MAP_COLORS.length) return channelsOf(MAP_COLORS[index]);
  const hue = ((index * GOLDEN_ANGLE) % 360) / 60;
  const [saturation, lightness] = [0.45 + 0.2 * (index % 2), 0.5 + 0.08 * ((index % 3) - 1)];
  return [0, 4, 2].map((shift) => {
    const tone = Math.min(1, Math.max(0, Math.abs(((hue + shift) % 6) - 3) - 1));
    return Math.round(255 * (lightness + saturation * (tone - 0.5) * (1 - Math.abs(2 * lightness - 1))));
  });
}

/** @param {number} share 0 to 1 @returns {number[]} */
function scaleChannels(share) {
  const place = share * (MAP_SCALE.length - 1);
  const first = Math.min(MAP_SCALE.length - 2, Math.floor(place));
  const [from, to] = [channelsOf(MAP_SCALE[first]), channelsOf(MAP_SCALE[first + 1])];
  return from.map((value, i) => Math.round(value + (to[i] - value) * (place - first)));
}

/** @param {Uint8Array} palette @param {number} index @returns {Uint8Array} */
function paletteEntry(palette, index) {
  return palette.subarray(3 * index, 3 * index + 3);
}

/**
 * Colours of labels or of the scale of values, packed.
 * @param {Model} model @param {boolean} scale @returns {Uint32Array}
 */
function mapPalette(model, scale) {
  const given = bytesOf(model.get("palette"));
  const length = scale ? 256 : model.get("label_names").length;
  const own = scale ? (i) => scaleChannels(i / 255) : labelChannels;
  return Uint32Array.from({ length }, (_, i) => packedColor(given.length === 3 * length ? paletteEntry(given, i) : own(i)));
}

/** @param {Float32Array} values @returns {[number, number]} of what is finite */
function finiteRange(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) if (Number.isFinite(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return low <= high ? [low, high] : [0, 0];
}

/**
 * A colour per image, packed.
 * @param {{count: number, codes: Int32Array, values: Float32Array, palette: Uint32Array}} data @param {[number, number]} range
 */
function imageColors({ count, codes, values, palette }, [low, high]) {
  const none = packedColor(channelsOf(NO_LABEL));
  const plain = packedColor(channelsOf(MAP_COLORS[0]));
  return Uint32Array.from({ length: count }, (_, i) => {
    if (values.length) return Number.isFinite(values[i]) ? palette[Math.round((255 * (values[i] - low)) / (high - low || 1))] : none;
    if (codes.length) return codes[i] < 0 ? none : palette[codes[i]];
    return plain;
  });
}

/** How large images and points are drawn, by zoom. Sizes are device pixels. */
class MapSizes {
  /**
   * @param {MapLayout} layout @param {number} count of images seen @param {number} zoom of the overview
   * @param {number} ratio device pixels per CSS pixel @param {number[]} sides of the thumbnails @param {string} look
   * @param {number} gridShare how much it is a grid
   */
  constructor(layout, count, zoom, ratio, sides, look, gridShare) {
    const area = Math.max(0.25, layout.right - layout.left) * Math.max(0.25, layout.bottom - layout.top);
    const spacing = Math.sqrt(area / Math.max(1, count)) * WORLD_PIXELS * 2 ** zoom;
    this.look = sides.length ? look : "points";
    this.most = LARGEST_GROWN * (sides[sides.length - 1] || 0);
    this.least = SMALLEST_IMAGE * ratio;
    this.growth = GROWTH + (GRID_GROWTH - GROWTH) * gridShare;
    this.base = Math.min((OVERLAP + (GRID_OVERLAP - OVERLAP) * gridShare) * spacing, 0.8 * this.most);
    this.zoom = zoom;
    this.radius = Math.min(5, Math.max(1.6, 180 / Math.sqrt(Math.max(1, count)))) * ratio;
    this.mostRadius = Math.max(this.radius, 6 * ratio);
  }

  /** Side of an image; 0 where points are drawn. @param {number} zoom */
  image(zoom) {
    const size = Math.min(this.most, this.base * this.growth ** (zoom - this.zoom));
    if (this.look === "points" || (this.look === "auto" && size < this.least)) return 0;
    return Math.max(this.least, size);
  }

  /** Radius of a point. @param {number} zoom */
  point(zoom) {
    return Math.min(this.mostRadius, Math.max(1, this.radius * 1.2 ** (zoom - this.zoom)));
  }

  /** From where on images only come further apart. */
  get largestAt() {
    return this.zoom + Math.log(Math.max(1, this.most / Math.max(1e-3, this.base))) / Math.log(this.growth);
  }
}
