/** The canvas of a map: what is drawn when, and what lies under a place of it. */

const OVERVIEW_MARGIN = 14;
const BEYOND_LARGEST = 3;
const PAINT_TIME = 6;
const IDLE_PAINT_TIME = 10;
const MOST_LIVE_DRAWINGS = 220;
const LARGEST_LIVE = 40;
/** Pixels that are copied in a frame where images may be larger than that. */
const MOST_LIVE_PIXELS = 2e6;
const MOST_SMOOTH_POINTS = 8000;
const FRAMED_FROM = 20;
/** Of an image's side its frame takes one part of so many: numbers have finer differences of colour than labels. */
const FRAME_PART = 32;
const VALUE_FRAME_PART = 14;
const REACH = 9;
const TIMES_KEPT = 2000;

class MapSurface {
  /** @param {{data: MapData, pages: MapPages}} shared @param {(drawn: {points: boolean}) => void} onDrawn */
  constructor(shared, onDrawn) {
    this.shared = shared;
    this.onDrawn = onDrawn;
    this.camera = new MapCamera();
    this.cameraTrait = new CameraTrait(shared.data.model, this.camera);
    this.tiles = new MapTiles((tile, canvas) => this.begin(tile, canvas));
    this.canvas = element("canvas", "cnnviz-map-canvas", { "aria-hidden": "true" });
    this.viewport = element("div", "cnnviz-map-viewport", { tabindex: "0", role: "application" }, this.canvas);
    this.live = document.createElement("canvas");
    /** @type {MapTile[]} */
    this.shown = [];
    this.signs = new MapSigns(this);
    /** @type {number[] | null} on the screen, in device pixels */
    this.outline = null;
    /** Where painting begins. @type {[number, number] | null} */
    this.focus = null;
    [this.ratio, this.draws, this.drawnState] = [1, 0, ""];
    /** @type {number[]} */
    this.times = [];
    this.redraw = inNextFrame(() => this.frame());
    this.stopWatching = watchShown(this.viewport, () => this.redraw());
  }

  /** Other images came. */
  reset() {
    this.tiles.clear();
    this.camera.stop();
    this.camera.whole = true;
    this.cameraTrait.ask("jump");
    this.signs.hovered = -1;
    this.state = "";
    this.redraw();
  }

  /** Draw, and again in the next frame as long as something moves or is left to do. */
  frame() {
    const { viewport, canvas, camera, shared } = this;
    const [width, height] = [viewport.clientWidth, viewport.clientHeight];
    if (!width || !height || !viewport.isConnected || !shared.data.count) return;
    const now = performance.now();
    this.ratio = fitCanvas(canvas, width, height);
    [camera.width, camera.height] = [canvas.width, canvas.height];
    shared.data.step(now);
    this.measure();
    this.cameraTrait.follow(this.all, this.home);
    camera.step(now);
    this.invalidate();
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingQuality = "low";
    this.signs.look();
    const busy = shared.data.moving ? this.drawMoving(context) : this.drawTiles(context, now);
    this.signs.draw(context);
    if (this.outline) this.signs.drawOutline(context, this.outline);
    this.report(busy || camera.moving || shared.data.moving, now);
  }

  /** How large images are, and how near one may come. */
  measure() {
    const { camera, shared, ratio } = this;
    const { data, pages } = shared;
    const margin = OVERVIEW_MARGIN * ratio;
    const first = camera.overview(data.bounds, margin);
    this.sizes = new MapSizes(data.bounds, data.count - data.layout.missing, first.zoom, ratio, pages.empty ? [] : pages.sides,
      data.model.get("look"), data.gridShare);
    this.all = camera.overview(data.layout, margin);
    this.home = camera.overview(data.bounds, margin + Math.min(this.sizes.image(first.zoom) / 2, camera.height / 6));
    camera.leastZoom = this.home.zoom - 1;
    camera.mostZoom = Math.max(this.home.zoom + 2, Math.min(15, this.sizes.largestAt + BEYOND_LARGEST));
    if (camera.whole) camera.jump(this.home);
  }

  /** Forget tiles that show what is not so any more. */
  invalidate() {
    const { data, pages } = this.shared;
    const { sizes, ratio, tiles } = this;
    const state = [data.placesRevision, sizes.base, sizes.zoom, sizes.look, sizes.growth, ratio].join();
    if (state !== this.state) tiles.clear();
    else if (this.looks !== data.looksRevision) tiles.outdate();
    else if (this.pages !== pages) tiles.outdateMissing();
    [this.state, this.looks, this.pages] = [state, data.looksRevision, pages];
  }

  /** @param {number} size @param {number} ratio */
  frameWidth(size, ratio) {
    const { data } = this.shared;
    if (size < FRAMED_FROM * ratio || !(data.codes.length || data.values.length)) return 0;
    if (data.values.length) return Math.max(Math.round(2 * ratio), Math.round(size / VALUE_FRAME_PART));
    return Math.max(Math.round(ratio), Math.round(size / FRAME_PART));
  }

  /** Begin a tile. @param {MapTile} tile @param {HTMLCanvasElement} canvas */
  begin(tile, canvas) {
    const { data, pages } = this.shared;
    const step = 2 ** -tile.z;
    const scale = WORLD_PIXELS / step;
    const size = Math.round(this.sizes.image(tile.z));
    const radius = this.sizes.point(tile.z);
    const reach = (Math.max(size / 2, radius) + 2) / scale;
    const [left, top] = [tile.column * step, tile.row * step];
    const images = data.within(left - reach, top - reach, left + step + reach, top + step + reach);
    const level = size ? Math.min(pages.levelFor(size), this.level) : 0;
    const missing = size ? pages.keysOf(images, level).filter((key) => !pages.decoded.has(key) && !pages.pages.get(key)?.gone) : [];
    if (size) pages.keysOf(images, level).forEach((key) => pages.drawable(key));
    const work = paintPart(canvas, {
      images, places: data.places, colors: data.colors, chosen: data.chosen, pages, level, size, radius, scale,
      left: left * scale, top: top * scale, width: TILE_SIDE, height: TILE_SIDE, frame: this.frameWidth(size, this.ratio), hurried: false,
      seams: data.seamsNow, ratio: this.ratio,
    });
    return { work, missing };
  }

  /** Tiles in sight, the nearest to where one looks first. @returns {MapTile[]} */
  tilesInSight() {
    const { camera, sizes, tiles } = this;
    const { layout } = this.shared.data;
    const z = Math.round(camera.zoom);
    const reach = (sizes.image(z) / 2 + sizes.point(z)) / (WORLD_PIXELS * 2 ** z);
    const [left, top] = camera.toWorld(0, 0);
    const [right, bottom] = camera.toWorld(camera.width, camera.height);
    const columnOf = (value) => Math.floor(value * 2 ** z);
    const columns = [columnOf(Math.max(left, layout.left - reach)), columnOf(Math.min(right, layout.right + reach))];
    const rows = [columnOf(Math.max(top, layout.top - reach)), columnOf(Math.min(bottom, layout.bottom + reach))];
    const found = [];
    for (let row = rows[0]; row <= rows[1]; row++) for (let column = columns[0]; column <= columns[1]; column++) found.push([column, row]);
    const [fx, fy] = this.focus ? camera.toWorld(...this.focus) : [camera.x, camera.y];
    const away = ([column, row]) => Math.hypot((column + 0.5) * 2 ** -z - fx, (row + 0.5) * 2 ** -z - fy);
    found.sort((a, b) => away(a) - away(b));
    this.chooseLevel(z, `${z} ${columns} ${rows}`);
    return found.map(([column, row]) => tiles.at(z, column, row));
  }

  /** The finest level of thumbnails whose pages for what is seen can all be decoded at once. @param {number} z @param {string} sight */
  chooseLevel(z, sight) {
    const { data, pages } = this.shared;
    const { camera, sizes } = this;
    const size = sizes.image(z);
    const known = [sight, data.placesRevision, data.looksRevision, pages.version].join(" ");
    if (known === this.levelKnown || !size) return;
    this.levelKnown = known;
    this.level = pages.levelFor(size);
    pages.seen = [];
    if (pages.pageCount(this.level) <= pages.most) return;
    const reach = size / (WORLD_PIXELS * 2 ** z);
    const [left, top] = camera.toWorld(0, 0);
    const [right, bottom] = camera.toWorld(camera.width, camera.height);
    const images = data.within(left - reach, top - reach, right + reach, bottom + reach);
    const { level, keys } = pages.affordable(images, this.level);
    [this.level, pages.seen] = [level, keys];
  }

  /** @param {CanvasRenderingContext2D} context @param {number} now @returns {boolean} whether something is left to do */
  drawTiles(context, now) {
    const { camera, tiles } = this;
    const { pages } = this.shared;
    this.shown = this.tilesInSight();
    const until = performance.now() + (camera.moving ? PAINT_TIME : IDLE_PAINT_TIME);
    const left = tiles.paint(this.shown, pages, until);
    tiles.forget(this.shown);
    pages.want([...this.shown.flatMap((tile) => (tile.work ? tile.draftMissing : tile.missing)), ...this.signs.wanted]);
    const drawing = new TileDrawing(context, camera, tiles, now);
    const holes = this.shown.filter((tile) => drawing.isHole(tile));
    if (holes.length) {
      this.drawLive();
      for (const tile of holes) drawing.fill(tile, this.live);
    }
    for (const tile of this.shown) drawing.draw(tile);
    return left || drawing.fading;
  }

  /** @param {CanvasRenderingContext2D} context @returns {boolean} */
  drawMoving(context) {
    this.shown = [];
    this.shared.pages.want([...this.drawLive(), ...this.signs.wanted]);
    context.drawImage(this.live, 0, 0);
    return true;
  }

  /** All that is in sight, quickly: points, coarse images, or few fine ones. @returns {string[]} pages that would show it better */
  drawLive() {
    const { camera, sizes, live, shared, ratio } = this;
    const { data, pages } = shared;
    const { width, height, scale } = camera;
    if (live.width !== width || live.height !== height) {
      [live.width, live.height] = [width, height];
      this.liveData = new ImageData(width, height);
      this.livePixels = new Uint32Array(this.liveData.data.buffer);
    }
    let size = sizes.image(camera.zoom);
    const reach = size / 2 / scale;
    const [left, top] = camera.toWorld(0, 0);
    const [right, bottom] = camera.toWorld(width, height);
    const images = data.within(left - reach, top - reach, right + reach, bottom + reach);
    const drawn = size > LARGEST_COPIED && images.length <= MOST_LIVE_DRAWINGS;
    if (!drawn) size = Math.min(size, Math.max(LARGEST_LIVE * ratio, Math.sqrt(MOST_LIVE_PIXELS / images.length)));
    const painting = {
      images, places: data.places, colors: data.colors, chosen: data.chosen, pages, size, scale, width, height,
      level: this.liveLevel(size, drawn, images), radius: sizes.point(camera.zoom),
      left: left * scale, top: top * scale, frame: this.frameWidth(size, ratio),
      hurried: images.length > MOST_SMOOTH_POINTS, seams: data.seamsNow, ratio,
    };
    const context = live.getContext("2d");
    if (drawn) {
      context.clearRect(0, 0, width, height);
      for (const _ of paintDrawings(context, painting)) continue;
    } else {
      this.livePixels.fill(0);
      for (const _ of paintPixels(this.livePixels, painting)) continue;
      context.putImageData(this.liveData, 0, 0);
    }
    return size ? pages.keysOf(images, painting.level) : [];
  }

  /**
   * The level that is drawn of images that move: the one for their size, or the finest that can be afforded.
   * @param {number} size @param {boolean} drawn rather than copied @param {Uint32Array} images
   */
  liveLevel(size, drawn, images) {
    const { pages } = this.shared;
    if (!size) return 0;
    let level = pages.levelFor(size);
    if (drawn) return pages.affordable(images, level).level;
    while (level > 0 && !pages.copied(level)) level--;
    return level;
  }

  /** Where an image is on the screen. @param {number} image @returns {[number, number]} */
  onScreen(image) {
    const { places } = this.shared.data;
    return this.camera.toScreen(places[2 * image], places[2 * image + 1]);
  }

  /** Side of the images on the screen, 0 for points. */
  get shownSize() {
    const { camera, sizes } = this;
    if (this.shared.data.moving) return sizes.image(camera.zoom);
    const z = Math.round(camera.zoom);
    return Math.round(sizes.image(z)) * 2 ** (camera.zoom - z);
  }

  /** Say what is drawn, and go on if need be. @param {boolean} busy @param {number} now */
  report(busy, now) {
    const { canvas, camera, shared, shown } = this;
    const { data, pages } = shared;
    if (this.wasBusy) this.times.push(now - this.drawnAt);
    if (this.times.length > TIMES_KEPT) this.times.shift();
    [this.wasBusy, this.drawnAt] = [busy, now];
    const settled = !busy && !this.signs.missing && shown.every((tile) => tile.missing.every((key) => pages.pages.get(key)?.gone));
    Object.assign(canvas.dataset, {
      count: String(data.count), tiles: String(this.tiles.tiles.size), painted: String(this.tiles.painted),
      pages: String(pages.decoded.size), settled: String(settled), size: this.shownSize.toFixed(2),
      view: `${camera.x} ${camera.y} ${camera.scale}`, selected: String(this.signs.selected), chosen: String(data.chosenCount),
    });
    const state = [this.state, this.looks, data.version].join();
    if (settled && state !== this.drawnState) {
      this.drawnState = state;
      canvas.dataset.drawn = String(++this.draws);
    }
    if (!busy && this.times.length) this.reportTimes();
    this.cameraTrait.tell(this.all);
    this.onDrawn();
    if (busy) this.redraw();
  }

  /** Frames a second since something began to move and, where they are asked for, the milliseconds of each. */
  reportTimes() {
    const { canvas, times } = this;
    const middle = [...times].sort((a, b) => a - b)[times.length >> 1];
    canvas.dataset.fps = (1000 / middle).toFixed(1);
    if ("record" in canvas.dataset) canvas.dataset.times = times.map((time) => time.toFixed(1)).join(" ");
    this.times = [];
  }

  /** @param {{clientX: number, clientY: number}} event @returns {[number, number]} device pixels */
  pixelOf({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    return [(clientX - box.left) * this.ratio, (clientY - box.top) * this.ratio];
  }

  /** The image at a place of the screen: the uppermost, of points the nearest. @param {number} px @param {number} py */
  hit(px, py) {
    const { data } = this.shared;
    if (!data.count || data.moving || !this.sizes) return -1;
    if (this.signs.hits(px, py)) return this.signs.selected;
    const { scale } = this.camera;
    const size = this.shownSize;
    const reach = (size ? size / 2 : Math.max(REACH * this.ratio, this.sizes.point(this.camera.zoom))) / scale;
    const [x, y] = this.camera.toWorld(px, py);
    const found = data.index.within(x - reach, y - reach, x + reach, y + reach);
    if (!found.length) return -1;
    const away = (i) => Math.hypot(data.places[2 * i] - x, data.places[2 * i + 1] - y);
    const best = (list) => (size ? list[list.length - 1] : list.reduce((a, b) => (away(b) <= away(a) ? b : a)));
    const first = data.chosen ? found.filter((i) => data.chosen[i]) : found;
    return best(first.length ? first : found);
  }

  /** Place from which an image is seen from near. @param {number} image */
  placeOf(image) {
    const { data } = this.shared;
    const { sizes, camera } = this;
    const zoom = Math.min(camera.mostZoom, sizes.largestAt);
    return { x: data.layout.places[2 * image], y: data.layout.places[2 * image + 1], zoom: Math.max(camera.zoom, zoom) };
  }

  close() {
    this.stopWatching();
    this.cameraTrait.close();
    this.redraw.cancel();
    this.tiles.clear();
  }
}
