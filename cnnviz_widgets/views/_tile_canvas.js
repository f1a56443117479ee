/** The canvas of an image grid: a scrolling, zooming window on the tiles; draws only those in sight. */

const MOST_ZOOM = 64;

class TileCanvas {
  constructor() {
    /** @type {Tiles | null} */
    this.tiles = null;
    this.selected = -1;
    this.zoom = 1;
    this.drawnVersion = 0;
    this.draws = 0;
    this.canvas = element("canvas", "cnnviz-grid-canvas", { "aria-hidden": "true" });
    this.sizer = element("div", "cnnviz-grid-sizer", { role: "presentation" }, this.canvas);
    this.viewport = element("div", "cnnviz-grid-viewport", { tabindex: "0", role: "listbox" }, this.sizer);
    this.redraw = inNextFrame(() => this.draw());
    this.viewport.addEventListener("scroll", this.redraw);
    const restoreScroll = keepScroll(this.viewport);
    this.stopWatching = watchShown(this.viewport, (returned) => {
      this.arrange();
      if (returned) restoreScroll();
    });
  }

  /** @param {Tiles} tiles */
  show(tiles) {
    this.tiles = tiles;
    this.canvas.dataset.count = String(tiles.count);
    this.viewport.style.maxHeight = `${tiles.maxHeight}px`;
    this.arrange();
  }

  /** @param {number} index -1 for none */
  frame(index) {
    const changed = index !== this.selected;
    this.selected = index;
    this.canvas.dataset.selected = String(index);
    if (changed) this.reveal(index);
    this.redraw();
  }

  /** Lay the tiles out for the place there is. */
  arrange() {
    const { tiles, viewport } = this;
    if (!tiles || !tiles.count || viewport.clientWidth === 0) return;
    const first = !this.layout;
    const ratio = window.devicePixelRatio || 1;
    const base = layoutTiles(tiles, viewport.clientWidth, ratio, 1);
    this.ratio = ratio;
    this.mostZoom = Math.min(MOST_ZOOM, Math.max(4, (64 * ratio * tiles.width) / base.tileWidth));
    this.layout = this.zoom === 1 ? base : layoutTiles(tiles, viewport.clientWidth, ratio, this.zoom);
    viewport.style.height = `${Math.min(Math.ceil(base.height / ratio), tiles.maxHeight)}px`;
    this.sizer.style.width = `${this.layout.width / ratio}px`;
    this.sizer.style.height = `${this.layout.height / ratio}px`;
    if (first) this.reveal(this.selected);
    this.redraw();
  }

  draw() {
    const { tiles, viewport, canvas, layout } = this;
    const [width, height] = [viewport.clientWidth, viewport.clientHeight];
    if (!tiles || !layout || !tiles.count || !width || !height || !viewport.isConnected) return;
    fitCanvas(canvas, width, height);
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = layout.tileWidth < tiles.width;
    context.imageSmoothingQuality = "high";
    this.drawTiles(context);
    this.drawFrame(context);
    if (this.drawnVersion !== tiles.version) canvas.dataset.drawn = String(++this.draws);
    this.drawnVersion = tiles.version;
  }

  /** @param {CanvasRenderingContext2D} context */
  drawTiles(context) {
    const { tiles, layout, canvas } = this;
    const { columns, rows, stepX, stepY, tileWidth, tileHeight } = layout;
    const [left, top] = this.offset();
    const firstColumn = Math.max(0, Math.floor(-left / stepX));
    for (let row = Math.max(0, Math.floor(-top / stepY)); row < rows && top + row * stepY < canvas.height; row++) {
      for (let column = firstColumn; column < columns && left + column * stepX < canvas.width; column++) {
        const index = row * columns + column;
        if (index >= tiles.count) break;
        const [page, x, y] = tiles.pages.source(index);
        context.drawImage(page, x, y, tiles.width, tiles.height,
          left + column * stepX, top + row * stepY, tileWidth, tileHeight);
      }
    }
  }

  /** Two frames, one in the colour of the ground and one accented: seen on any tile. */
  drawFrame(context) {
    if (this.selected < 0) return;
    const { columns, stepX, stepY, tileWidth, tileHeight } = this.layout;
    const [left, top] = this.offset();
    const x = left + (this.selected % columns) * stepX;
    const y = top + Math.floor(this.selected / columns) * stepY;
    const line = Math.max(1, Math.round(this.ratio));
    for (const [color, outset, width] of [["--cnnviz-paper", -0.5 * line, line], ["--cnnviz-accent", 1.5 * line, 3 * line]]) {
      context.strokeStyle = themeColor(this.viewport, color);
      context.lineWidth = width;
      context.strokeRect(x - outset, y - outset, tileWidth + 2 * outset, tileHeight + 2 * outset);
    }
  }

  /** @returns {[number, number]} device pixels from the canvas's corner to that of the first tile */
  offset() {
    const margin = Math.round(MARGIN * this.ratio);
    const { scrollLeft, scrollTop } = this.viewport;
    return [margin - Math.round(scrollLeft * this.ratio), margin - Math.round(scrollTop * this.ratio)];
  }

  /** @param {MouseEvent} event @returns {{index: number, x: number, y: number} | null} tile and its pixel under the pointer */
  hit(event) {
    const { tiles, layout } = this;
    if (!tiles || !layout || !tiles.count) return null;
    const { columns, stepX, stepY, tileWidth, tileHeight } = layout;
    const box = this.canvas.getBoundingClientRect();
    const [left, top] = this.offset();
    const x = (event.clientX - box.left) * this.ratio - left;
    const y = (event.clientY - box.top) * this.ratio - top;
    const [column, row] = [Math.floor(x / stepX), Math.floor(y / stepY)];
    const [inX, inY] = [x - column * stepX, y - row * stepY];
    const index = row * columns + column;
    if (column < 0 || row < 0 || column >= columns || index >= tiles.count) return null;
    if (inX >= tileWidth || inY >= tileHeight) return null;
    return { index, x: Math.floor((inX / tileWidth) * tiles.width), y: Math.floor((inY / tileHeight) * tiles.height) };
  }

  /** Scroll a tile into sight. @param {number} index */
  reveal(index) {
    if (!this.layout || index < 0) return;
    const { viewport, ratio } = this;
    const { columns, stepX, stepY } = this.layout;
    const [column, row] = [index % columns, Math.floor(index / columns)];
    reveal(viewport, (row * stepY) / ratio, ((row + 1) * stepY) / ratio + 2 * MARGIN);
    const [left, right] = [(column * stepX) / ratio, ((column + 1) * stepX) / ratio + 2 * MARGIN];
    if (left < viewport.scrollLeft) viewport.scrollLeft = left;
    else if (right > viewport.scrollLeft + viewport.clientWidth) viewport.scrollLeft = right - viewport.clientWidth;
  }

  get scrolls() {
    const { viewport } = this;
    return viewport.scrollHeight > viewport.clientHeight + 1 || viewport.scrollWidth > viewport.clientWidth + 1;
  }

  /** Index distance of a page of rows. */
  get page() {
    if (!this.layout) return 1;
    return this.layout.columns * Math.max(1, Math.floor((this.viewport.clientHeight * this.ratio) / this.layout.stepY));
  }

  /** Zoom and keep what is under a point of the screen there; without one, the middle of what is seen. */
  zoomBy(factor, clientX = NaN, clientY = NaN) {
    if (!this.layout) return;
    const { viewport, ratio } = this;
    const box = viewport.getBoundingClientRect();
    const middle = (place, content) => Math.min(place, content / ratio) / 2;
    const x = Number.isNaN(clientX) ? middle(viewport.clientWidth, this.layout.width) : clientX - box.left;
    const y = Number.isNaN(clientY) ? middle(viewport.clientHeight, this.layout.height) : clientY - box.top;
    const column = ((viewport.scrollLeft + x - MARGIN) * ratio) / this.layout.stepX;
    const row = ((viewport.scrollTop + y - MARGIN) * ratio) / this.layout.stepY;
    const zoom = Math.min(this.mostZoom, Math.max(1, this.zoom * factor));
    this.zoom = zoom < 1.02 ? 1 : zoom;
    this.arrange();
    viewport.scrollLeft = (column * this.layout.stepX) / ratio + MARGIN - x;
    viewport.scrollTop = (row * this.layout.stepY) / ratio + MARGIN - y;
    this.redraw();
  }

  resetZoom() {
    this.zoom = 1;
    this.arrange();
    this.reveal(this.selected);
  }

  close() {
    this.stopWatching();
    this.redraw.cancel();
  }
}
