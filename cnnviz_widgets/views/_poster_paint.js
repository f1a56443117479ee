/** Pieces of a poster, painted once and then only copied. */

/** Drawing is put off by the browser, so that its time can't be taken here; what it costs goes with the pixels, and with the calls. */
const PIXELS_AT_ONCE = 20_000;
const PIXELS_A_CALL = 1500;
/** Pictures that are enlarged by more are told pixel by pixel. */
const PIXELS_FROM = 2.5;

/**
 * @typedef {{
 *   tiles: number[], data: PosterData, pictures: PosterPictures, left: number, top: number, scale: number,
 *   line: string, ground: string, ratio: number, hurried: boolean,
 * }} PosterPainting `left` and `top` in the world, `scale` in pixels per unit of it; colours of places without a picture
 */

/**
 * Paint part of a poster, some pictures at a time, and tell how many pixels that took.
 * @param {HTMLCanvasElement} canvas @param {PosterPainting} painting
 */
function* paintPoster(canvas, painting) {
  const context = canvas.getContext("2d");
  const { tiles, data, pictures, left, top, scale } = painting;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  let pixels = 0;
  for (const index of tiles) {
    const [x, y, width, height] = data.box(index);
    const box = [(x - left) * scale, (y - top) * scale, width * scale, height * scale];
    const picture = pictures.best(index, pictures.levelFor(Math.max(box[2], box[3])));
    if (picture) paintPicture(context, picture, box, painting.hurried);
    else paintPlace(context, box, painting);
    pixels += box[2] * box[3] + PIXELS_A_CALL;
    if (pixels < PIXELS_AT_ONCE) continue;
    yield pixels;
    pixels = 0;
  }
}

/** As large as fits, in the middle. @param {CanvasRenderingContext2D} context @param {PosterPicture} picture @param {number[]} box */
function paintPicture(context, picture, [x, y, width, height], hurried) {
  const scale = Math.min(width / picture.width, height / picture.height);
  const [w, h] = [Math.max(1, picture.width * scale), Math.max(1, picture.height * scale)];
  context.imageSmoothingEnabled = !hurried && !(scale > PIXELS_FROM && picture.finest);
  context.imageSmoothingQuality = scale < 0.45 ? "medium" : "low";
  const { image, x: fromX, y: fromY } = picture;
  context.drawImage(image, fromX, fromY, picture.width, picture.height, x + (width - w) / 2, y + (height - h) / 2, w, h);
}

/** Where a picture will be. @param {CanvasRenderingContext2D} context @param {number[]} box @param {PosterPainting} painting */
function paintPlace(context, [x, y, width, height], { line, ground, ratio }) {
  context.fillStyle = ground;
  context.fillRect(x, y, width, height);
  if (Math.min(width, height) < 5 * ratio) return;
  context.strokeStyle = line;
  context.lineWidth = ratio;
  context.setLineDash(Math.min(width, height) < 16 * ratio ? [] : [4 * ratio, 3 * ratio]);
  context.strokeRect(x + ratio / 2, y + ratio / 2, width - ratio, height - ratio);
  context.setLineDash([]);
}
