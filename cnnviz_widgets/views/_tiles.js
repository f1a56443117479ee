/**
 * Tiles of an image grid: what is in the traits, where each tile goes, and canvases to copy them from.
 *
 * @typedef {{
 *   count: number, height: number, width: number, depth: number, pixels: Uint8Array, ranges: Float32Array,
 *   colormap: Uint8Array, labels: string[], name: string, columns: number, tileSize: number, maxHeight: number,
 *   caption: string, sources: any[], version: number, pages: TilePages,
 * }} Tiles
 * @typedef {{
 *   columns: number, rows: number, tileWidth: number, tileHeight: number, stepX: number, stepY: number,
 *   width: number, height: number,
 * }} Layout in device pixels
 */

const GAP = 2;
const MARGIN = 4;
const PAGE_EDGE = 2048;
const PAGES_KEPT = 12;

/**
 * The tiles now in the traits, or the previous ones while the traits do not fit each other yet.
 * @param {Model} model @param {Tiles | null} previous
 * @returns {Tiles | null}
 */
function readTiles(model, previous) {
  const sources = [model.get("pixels"), model.get("ranges"), model.get("colormap"), model.get("shape")];
  const [count, height, width, depth] = sources[3] || [0, 0, 0, 1];
  const labels = model.get("labels") || [];
  const [pixels, colormap] = [bytesOf(sources[0]), bytesOf(sources[2])];
  const ranges = numbersOf(sources[1], Float32Array);
  if (pixels.length !== count * height * width * depth || ranges.length !== 2 * count) return previous;
  if (labels.length && labels.length !== count) return previous;
  const same = previous && sources.every((source, i) => source === previous.sources[i]);
  return {
    count, height, width, depth, pixels, ranges, colormap, labels, sources,
    name: model.get("tile_names") || "tile",
    columns: model.get("columns"),
    tileSize: model.get("tile_size"),
    maxHeight: model.get("max_height"),
    caption: model.get("caption"),
    version: same ? previous.version : (previous ? previous.version : 0) + 1,
    pages: same ? previous.pages : new TilePages(pixels, { count, height, width, depth }, colormap),
  };
}

/** @param {Tiles} tiles @param {number} index @returns {string} */
function tileLabel(tiles, index) {
  return tiles.labels[index] || `${tiles.name} ${index}`;
}

/** @param {Tiles} tiles @param {number} index @param {number} x @param {number} y @returns {string} */
function tileValue(tiles, index, x, y) {
  const { width, height, depth, pixels, ranges } = tiles;
  const [low, high] = [ranges[2 * index], ranges[2 * index + 1]];
  const at = ((index * height + y) * width + x) * depth;
  return Array.from(pixels.subarray(at, at + depth), (byte) => formatNumber(low + (byte / 255) * (high - low), 4)).join(", ");
}

/** Packed opaque pixels in the byte order of ImageData. @param {number} r @param {number} g @param {number} b */
function packed(r, g, b) {
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

/** Canvases that each hold many tiles at their own size, made when first needed. */
class TilePages {
  /** @param {Uint8Array} pixels @param {{count: number, height: number, width: number, depth: number}} shape @param {Uint8Array} colormap */
  constructor(pixels, shape, colormap) {
    this.pixels = pixels;
    this.shape = shape;
    this.perRow = Math.max(1, Math.floor(PAGE_EDGE / Math.max(shape.width, 1)));
    this.perPage = this.perRow * Math.max(1, Math.floor(PAGE_EDGE / Math.max(shape.height, 1)));
    this.table = Uint32Array.from({ length: 256 }, (_, i) =>
      colormap.length === 768 ? packed(colormap[3 * i], colormap[3 * i + 1], colormap[3 * i + 2]) : packed(i, i, i));
    /** @type {Map<number, HTMLCanvasElement>} */
    this.pages = new Map();
  }

  /** @param {number} index @returns {[HTMLCanvasElement, number, number]} canvas, x, y of a tile */
  source(index) {
    const number = Math.floor(index / this.perPage);
    const page = this.pages.get(number) || this.paint(number);
    this.pages.delete(number);
    this.pages.set(number, page);
    const within = index % this.perPage;
    return [page, (within % this.perRow) * this.shape.width, Math.floor(within / this.perRow) * this.shape.height];
  }

  /** @param {number} number @returns {HTMLCanvasElement} */
  paint(number) {
    const { count, height, width } = this.shape;
    const first = number * this.perPage;
    const tiles = Math.min(this.perPage, count - first);
    const page = document.createElement("canvas");
    page.width = Math.min(tiles, this.perRow) * width;
    page.height = Math.ceil(tiles / this.perRow) * height;
    const context = page.getContext("2d");
    const image = context.createImageData(page.width, page.height);
    const target = new Uint32Array(image.data.buffer);
    for (let i = 0; i < tiles; i++) {
      const corner = Math.floor(i / this.perRow) * height * page.width + (i % this.perRow) * width;
      this.copy(target, corner, page.width, first + i);
    }
    context.putImageData(image, 0, 0);
    if (this.pages.size >= PAGES_KEPT) this.pages.delete(this.pages.keys().next().value);
    return page;
  }

  /** @param {Uint32Array} target @param {number} corner @param {number} stride @param {number} index */
  copy(target, corner, stride, index) {
    const { height, width, depth } = this.shape;
    const { pixels, table } = this;
    let from = index * height * width * depth;
    for (let y = 0; y < height; y++) {
      let to = corner + y * stride;
      for (let x = 0; x < width; x++, from += depth) {
        target[to++] = depth === 1 ? table[pixels[from]] : packed(pixels[from], pixels[from + 1], pixels[from + 2]);
      }
    }
  }
}

/** Whole factors keep pixels equally large; a picture larger than its place is shrunk by any factor. @param {number} scale */
function wholeScale(scale) {
  return scale >= 1 ? Math.floor(scale) : scale;
}

/**
 * Device pixels per tile pixel, before zooming.
 * @param {Tiles} tiles @param {number} width @param {number} ratio
 */
function tileScale(tiles, width, ratio) {
  const edge = Math.max(tiles.width, tiles.height);
  if (tiles.tileSize > 0) return (tiles.tileSize * ratio) / edge;
  if (tiles.count === 1) {
    const room = Math.min(width / tiles.width, ((tiles.maxHeight - 2 * MARGIN) * ratio) / tiles.height);
    return wholeScale(room);
  }
  const columns = Math.max(1, tiles.columns);
  const fit = (width - (columns - 1) * GAP * ratio) / columns / tiles.width;
  if (tiles.columns > 0) return wholeScale(Math.max(Math.min(fit, (192 * ratio) / edge), (8 * ratio) / edge));
  const target = (tiles.count <= 12 ? 144 : tiles.count <= 64 ? 88 : tiles.count <= 256 ? 72 : 56) * ratio;
  if (target / edge < 0.7) return Math.min(target / edge, fit);
  return Math.min(fillingScale(tiles, width, target, ratio), wholeScale(fit));
}

/**
 * The whole scale near a wanted tile edge that leaves the least of the width empty.
 * @param {Tiles} tiles @param {number} width @param {number} target @param {number} ratio
 */
function fillingScale(tiles, width, target, ratio) {
  const edge = Math.max(tiles.width, tiles.height);
  const gap = Math.round(GAP * ratio);
  const least = Math.max(Math.ceil((48 * ratio) / edge), Math.round((0.75 * target) / edge), 1);
  const most = Math.max(least, Math.floor((1.25 * target) / edge));
  let [best, bestRest] = [least, Infinity];
  for (let scale = most; scale >= least; scale--) {
    const step = tiles.width * scale + gap;
    const columns = Math.floor((width + gap) / step);
    if (columns >= tiles.count) return scale;
    const rest = width + gap - columns * step;
    if (columns > 0 && rest < bestRest) [best, bestRest] = [scale, rest];
  }
  return best;
}

/**
 * Where the tiles go.
 * @param {Tiles} tiles @param {number} cssWidth @param {number} ratio @param {number} zoom
 * @returns {Layout}
 */
function layoutTiles(tiles, cssWidth, ratio, zoom) {
  const gap = Math.round(GAP * ratio);
  const width = Math.max(1, cssWidth * ratio - 2 * MARGIN * ratio);
  let scale = tileScale(tiles, width, ratio);
  const fitting = Math.max(1, Math.floor((width + gap) / (Math.round(tiles.width * scale) + gap)));
  const columns = Math.max(1, Math.min(tiles.columns || fitting, tiles.count));
  if (scale < 1 && !tiles.tileSize && !tiles.columns && tiles.count > columns) {
    scale = Math.min(1, (width - (columns - 1) * gap) / columns / tiles.width);
  }
  const rows = Math.ceil(tiles.count / columns);
  const tileWidth = Math.max(1, Math.floor(tiles.width * scale * zoom + 1e-6));
  const tileHeight = Math.max(1, Math.floor(tiles.height * scale * zoom + 1e-6));
  const [stepX, stepY] = [tileWidth + gap, tileHeight + gap];
  const margins = 2 * MARGIN * ratio - gap;
  return {
    columns, rows, tileWidth, tileHeight, stepX, stepY,
    width: columns * stepX + margins, height: rows * stepY + margins,
  };
}
