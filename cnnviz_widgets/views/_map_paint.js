/**
 * Painting a part of a map, a little at a time.
 *
 * @typedef {{
 *   images: ArrayLike<number>, places: Float32Array, colors: Uint32Array, chosen: Uint8Array | null, pages: MapPages,
 *   level: number, size: number, radius: number, scale: number, left: number, top: number, width: number, height: number,
 *   frame: number, hurried: boolean, seams: {of: MapSeams, alpha: number} | null, ratio: number,
 * }} Painting `size` 0 paints points; left and top are of the part in the world times the scale; `frame` is the width of the
 *   coloured frame of each image; `hurried` ones are for one frame only
 */

const POINTS_A_TURN = 3000;
const COPIES_A_TURN = 400;
const DRAWINGS_A_TURN = 24;

/**
 * Where each image is: what is chosen comes last, over the faded others.
 * @param {Painting} painting @returns {ArrayLike<number>}
 */
function paintingOrder({ images, chosen }) {
  if (!chosen) return images;
  const order = new Uint32Array(images.length);
  let at = 0;
  for (const wanted of [0, 1]) for (let k = 0; k < images.length; k++) if (chosen[images[k]] === wanted) order[at++] = images[k];
  return order;
}

/**
 * The pixels around a disc's middle: their columns, rows and coverage, 0 to 255, and how far they lie apart in a target.
 * @param {number} radius @param {number} width of the target @param {boolean} hard its edge not smoothed
 */
function discOf(radius, width, hard) {
  const reach = Math.ceil(radius + 0.5);
  const pixels = [];
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) {
      const cover = Math.round(255 * Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(x, y))));
      if (cover >= (hard ? 128 : 1)) pixels.push([x, y, hard ? 255 : cover, y * width + x]);
    }
  }
  const [xs, ys, covers, steps] = [0, 1, 2, 3].map((part) => Int32Array.from(pixels, (pixel) => pixel[part]));
  return { reach, xs, ys, covers, steps };
}

/** One pixel over another, neither premultiplied. @param {number} below @param {number} color @param {number} alpha 0 to 255 */
function overPixel(below, color, alpha) {
  const under = below >>> 24;
  if (alpha === 255 || under === 0) return ((alpha << 24) | (color & 0xffffff)) >>> 0;
  const sum = alpha + (under * (255 - alpha)) / 255;
  const share = alpha / sum;
  const [r, g, b] = [below & 255, (below >> 8) & 255, (below >> 16) & 255];
  const red = r + ((color & 255) - r) * share;
  const green = g + (((color >> 8) & 255) - g) * share;
  const blue = b + (((color >> 16) & 255) - b) * share;
  return ((Math.round(sum) << 24) | (Math.round(blue) << 16) | (Math.round(green) << 8) | Math.round(red)) >>> 0;
}

/** @param {Uint32Array} target @param {Painting} painting @param {ReturnType<typeof discOf>} disc @param {number} image */
function paintPoint(target, painting, { reach, xs, ys, covers, steps }, image) {
  const { places, scale, left, top, width, height, colors, chosen } = painting;
  const x = Math.round(places[2 * image] * scale - left);
  const y = Math.round(places[2 * image + 1] * scale - top);
  const whole = x >= reach && y >= reach && x + reach < width && y + reach < height;
  const strength = chosen && !chosen[image] ? FADED : 1;
  const color = colors[image];
  for (let k = 0; k < steps.length; k++) {
    if (!whole && (x + xs[k] < 0 || x + xs[k] >= width || y + ys[k] < 0 || y + ys[k] >= height)) continue;
    const at = y * width + x + steps[k];
    if (covers[k] === 255 && strength === 1) target[at] = color;
    else target[at] = overPixel(target[at], color, Math.round(covers[k] * strength));
  }
}

/** Columns or rows of a cell for those of its picture; -1 for its frame. @param {number} size @param {number} side @param {number} frame */
function nearestSteps(size, side, frame) {
  const inner = size - 2 * frame;
  return Int32Array.from({ length: size }, (_, i) => {
    const at = i - frame;
    return at < 0 || at >= inner ? -1 : Math.floor(((at + 0.5) * side) / inner);
  });
}

/**
 * Copy a small cell, pixel by pixel: far faster than drawing so few pixels from a page.
 * @param {Uint32Array} target @param {Painting} painting @param {MapPage} page @param {Int32Array} steps @param {number} image
 */
function copyCell(target, painting, page, steps, image) {
  const { places, scale, left, top, width, height, pages, chosen } = painting;
  const side = pages.sides[page.level];
  const from = (pages.cells[image] % pages.perPage[page.level]) * side * side;
  const size = steps.length;
  const x0 = Math.round(places[2 * image] * scale - left - size / 2);
  const y0 = Math.round(places[2 * image + 1] * scale - top - size / 2);
  const [x1, y1] = [Math.min(size, width - x0), Math.min(size, height - y0)];
  const faded = chosen && !chosen[image];
  const alpha = Math.round(255 * FADED);
  const { pixels } = page;
  if (painting.frame && !faded) fillCell(target, width, painting.colors[image], [x0, y0, x1, y1]);
  const [first, last] = [painting.frame, size - painting.frame];
  const [left0, right0] = [Math.max(first, -x0), Math.min(last, x1)];
  for (let y = Math.max(first, -y0); y < Math.min(last, y1); y++) {
    const row = from + steps[y] * side;
    const to = (y0 + y) * width + x0;
    if (faded) for (let x = left0; x < right0; x++) target[to + x] = overPixel(target[to + x], pixels[row + steps[x]], alpha);
    else for (let x = left0; x < right0; x++) target[to + x] = pixels[row + steps[x]];
  }
}

/** The ground of a cell's frame. @param {Uint32Array} target @param {number} width @param {number} color @param {number[]} cell */
function fillCell(target, width, color, [x0, y0, x1, y1]) {
  for (let y = Math.max(0, y0); y < y0 + y1; y++) target.fill(color, y * width + Math.max(0, x0), y * width + x0 + x1);
}

/** Points and small images into an array of pixels. @param {Uint32Array} target @param {Painting} painting */
function* paintPixels(target, painting) {
  const { pages, level, size, radius } = painting;
  const disc = discOf(radius, painting.width, painting.hurried);
  const steps = new Map();
  const images = paintingOrder(painting);
  for (let k = 0; k < images.length; k++) {
    const page = size ? copyablePage(pages, images[k], level) : null;
    if (page) {
      const { level: found } = page;
      if (!steps.has(found)) steps.set(found, nearestSteps(Math.round(size), pages.sides[found], painting.frame));
      copyCell(target, painting, page, steps.get(found), images[k]);
    } else paintPoint(target, painting, disc, images[k]);
    if (k % (size ? COPIES_A_TURN : POINTS_A_TURN) === 0) yield;
  }
  if (painting.seams) yield* paintSeams(target, painting);
}

/** @param {MapPages} pages @param {number} level @param {number} size */
function isCopied(pages, level, size) {
  return size <= LARGEST_COPIED && pages.sides[level] <= LARGEST_COPIED;
}

/** @param {MapPages} pages @param {number} image @param {number} level @returns {MapPage | null} */
function copyablePage(pages, image, level) {
  for (let l = level; l >= 0; l--) {
    const page = pages.pageOf(image, l);
    if (page?.pixels) return page;
  }
  return null;
}

/** Larger images, drawn from their pages. @param {CanvasRenderingContext2D} context @param {Painting} painting */
function* paintDrawings(context, painting) {
  const { places, scale, left, top, pages, level, size, colors, chosen, frame, radius } = painting;
  const images = paintingOrder(painting);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = size < 0.6 * pages.sides[level] ? "medium" : "low";
  for (let k = 0; k < images.length; k++) {
    const image = images[k];
    const [x, y] = [places[2 * image] * scale - left, places[2 * image + 1] * scale - top];
    const [x0, y0] = [Math.round(x - size / 2), Math.round(y - size / 2)];
    const page = pages.bestFor(image, level);
    const faded = chosen && !chosen[image];
    context.globalAlpha = faded ? FADED : 1;
    if (frame || !page) context.fillStyle = cssColor(colors[image]);
    if (page) {
      if (frame && !faded) context.fillRect(x0, y0, Math.round(size), Math.round(size));
      const side = Math.round(size) - 2 * frame;
      context.drawImage(page.image, ...pages.boxOf(page, image), x0 + frame, y0 + frame, side, side);
    } else {
      context.beginPath();
      context.arc(x, y, radius, 0, 7);
      context.fill();
    }
    if (k % DRAWINGS_A_TURN === 0) yield;
  }
  context.globalAlpha = 1;
  if (painting.seams) drawSeams(context, painting);
}

/**
 * Paint a part of the map on a canvas of its size.
 * @param {HTMLCanvasElement} canvas @param {Painting} painting
 */
function* paintPart(canvas, painting) {
  const { width, height, size, pages, level } = painting;
  const context = canvas.getContext("2d");
  context.globalAlpha = 1;
  context.clearRect(0, 0, width, height);
  if (size && !isCopied(pages, level, size)) return yield* paintDrawings(context, painting);
  const image = new ImageData(width, height);
  yield* paintPixels(new Uint32Array(image.data.buffer), painting);
  context.putImageData(image, 0, 0);
  return undefined;
}
