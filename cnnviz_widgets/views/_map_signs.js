/** What is drawn over all of a map, so that it is never covered: the image under the pointer and the selected one. */

/** CSS pixels that the selected image has at least, also where images are smaller, or a ring around it where they are points. */
const SELECTED_SIDE = 32;
const SELECTED_RING = 10;
const SELECTED_POINT = 4;

class MapSigns {
  /** @param {MapSurface} surface */
  constructor(surface) {
    this.surface = surface;
    [this.selected, this.hovered] = [-1, -1];
    /** Page that would show the selected image better; empty where it is here. */
    this.missing = "";
  }

  /** @returns {string[]} */
  get wanted() {
    return this.missing ? [this.missing] : [];
  }

  /** Whether an image is there to be seen. @param {number} image */
  shows(image) {
    const { data } = this.surface.shared;
    return image >= 0 && image < data.count && Boolean(data.seen[image]);
  }

  /** Side of the selected image on the screen, 0 where it is a point. */
  get selectedSize() {
    const { shownSize, ratio } = this.surface;
    return shownSize && Math.max(shownSize, SELECTED_SIDE * ratio);
  }

  /** Whether a place of the screen is on the selected image. @param {number} px @param {number} py */
  hits(px, py) {
    if (!this.shows(this.selected) || !this.selectedSize) return false;
    const [x, y] = this.surface.onScreen(this.selected);
    return Math.max(Math.abs(px - x), Math.abs(py - y)) <= this.selectedSize / 2;
  }

  /** Note the page that shows the selected image best, if it is not here. */
  look() {
    const { pages } = this.surface.shared;
    this.missing = "";
    if (!this.shows(this.selected) || !this.selectedSize) return;
    const [key] = pages.keysOf([this.selected], pages.levelFor(this.selectedSize));
    if (!pages.drawable(key) && !pages.pages.get(key)?.gone) this.missing = key;
  }

  /** @param {CanvasRenderingContext2D} context */
  draw(context) {
    const { shownSize } = this.surface;
    if (this.hovered !== this.selected) this.drawSign(context, this.hovered, shownSize, "--cnnviz-ink", 2, 0);
    this.drawSign(context, this.selected, this.selectedSize, "--cnnviz-accent", 3, 1);
  }

  /** @param {CanvasRenderingContext2D} context @param {number} image @param {number} size @param {string} color @param {number} width @param {number} large */
  drawSign(context, image, size, color, width, large) {
    if (!this.shows(image)) return;
    const { surface } = this;
    const { ratio, viewport, sizes, camera } = surface;
    const [x, y] = surface.onScreen(image);
    const point = sizes.point(camera.zoom);
    const half = size ? size / 2 : Math.max(point + ratio, large * SELECTED_RING * ratio);
    if (size) this.drawImage(context, image, size, x, y);
    else this.drawPoint(context, image, Math.max(point, large * SELECTED_POINT * ratio), x, y);
    const reach = half + 1.5 * ratio;
    for (const [style, line] of [["--cnnviz-paper", width + 3], [color, width]]) {
      context.strokeStyle = themeColor(viewport, String(style));
      context.lineWidth = Number(line) * ratio;
      context.beginPath();
      if (size) context.rect(x - reach, y - reach, 2 * reach, 2 * reach);
      else context.arc(x, y, reach, 0, 7);
      context.stroke();
    }
  }

  /** @param {CanvasRenderingContext2D} context @param {number} image @param {number} radius @param {number} x @param {number} y */
  drawPoint(context, image, radius, x, y) {
    context.fillStyle = cssColor(this.surface.shared.data.colors[image]);
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
    context.fill();
  }

  /** @param {CanvasRenderingContext2D} context @param {number} image @param {number} size @param {number} x @param {number} y */
  drawImage(context, image, size, x, y) {
    const { shared, ratio } = this.surface;
    const { pages, data } = shared;
    const page = pages.bestFor(image, pages.levelFor(size));
    if (!page) {
      this.drawPoint(context, image, size / 3, x, y);
      return;
    }
    const frame = this.surface.frameWidth(size, ratio);
    const [left, top, side] = [x - size / 2, y - size / 2, size - 2 * frame];
    if (frame) {
      context.fillStyle = cssColor(data.colors[image]);
      context.fillRect(left, top, size, size);
    }
    context.imageSmoothingEnabled = true;
    context.drawImage(page.image, ...pages.boxOf(page, image), left + frame, top + frame, side, side);
  }

  /** The line of a lasso. @param {CanvasRenderingContext2D} context @param {number[]} outline */
  drawOutline(context, outline) {
    context.beginPath();
    for (let i = 0; i < outline.length; i += 2) context.lineTo(outline[i], outline[i + 1]);
    context.closePath();
    context.fillStyle = context.strokeStyle = themeColor(this.surface.viewport, "--cnnviz-accent");
    context.globalAlpha = 0.15;
    context.fill();
    context.globalAlpha = 1;
    context.lineWidth = 2 * this.surface.ratio;
    context.stroke();
  }
}
