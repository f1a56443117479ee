/**
 * A map as square pieces of canvas, each painted once and then only copied: what makes panning and zooming smooth.
 *
 * @typedef {{
 *   key: string, z: number, column: number, row: number, canvas: HTMLCanvasElement | null, born: number,
 *   former: HTMLCanvasElement | null, fresh: boolean, level: number, missing: string[], pagesRevision: number,
 *   work: Generator | null, draft: HTMLCanvasElement | null, draftMissing: string[], draftRevision: number,
 * }} MapTile `fresh` while it shows what is so now; `missing` are pages that would show it better
 */

const TILE_SIDE = 512;
const MOST_TILES = 128;
const FADE = 240;
const FALLBACK_LEVELS = 5;

class MapTiles {
  /** @param {(tile: MapTile, canvas: HTMLCanvasElement) => {work: Generator, missing: string[]}} begin */
  constructor(begin) {
    this.begin = begin;
    /** The longest unused first. @type {Map<string, MapTile>} */
    this.tiles = new Map();
    /** @type {HTMLCanvasElement[]} */
    this.spare = [];
    this.painted = 0;
  }

  /** @param {number} z @param {number} column @param {number} row */
  peek(z, column, row) {
    const tile = this.tiles.get(`${z}/${column}/${row}`);
    return tile?.canvas ? tile : null;
  }

  /** The tile, made if there is none, noted as used. @param {number} z @param {number} column @param {number} row @returns {MapTile} */
  at(z, column, row) {
    const key = `${z}/${column}/${row}`;
    let tile = this.tiles.get(key);
    if (tile) this.tiles.delete(key);
    else {
      tile = {
        key, z, column, row, canvas: null, born: 0, former: null, fresh: false, level: 0, missing: [], pagesRevision: -1,
        work: null, draft: null, draftMissing: [], draftRevision: -1,
      };
    }
    this.tiles.set(key, tile);
    return tile;
  }

  /** All show what was; they are painted again where they are seen, and shown until then. */
  outdate() {
    for (const tile of this.tiles.values()) {
      tile.fresh = false;
      this.abandon(tile);
    }
  }

  /** Other pages came in the place of those that are missing. */
  outdateMissing() {
    for (const tile of this.tiles.values()) {
      this.abandon(tile);
      if (tile.missing.length) tile.fresh = false;
    }
  }

  clear() {
    for (const tile of this.tiles.values()) this.drop(tile);
    this.tiles.clear();
  }

  /** @param {MapTile} tile */
  abandon(tile) {
    if (tile.draft) this.spare.push(tile.draft);
    [tile.work, tile.draft] = [null, null];
  }

  /** @param {MapTile} tile */
  drop(tile) {
    this.abandon(tile);
    this.spare.push(...[tile.canvas, tile.former].filter(Boolean));
    this.spare.length = Math.min(this.spare.length, 24);
  }

  /** Keep as many as may be kept, those that are seen among them. @param {MapTile[]} seen */
  forget(seen) {
    const kept = new Set(seen);
    for (const [key, tile] of this.tiles) {
      if (!kept.has(tile)) this.abandon(tile);
      if (this.tiles.size <= MOST_TILES || kept.has(tile)) continue;
      this.tiles.delete(key);
      this.drop(tile);
    }
  }

  /** @param {MapTile} tile @param {MapPages} pages @returns {boolean} whether it could show more than it does */
  lags(tile, pages) {
    if (!tile.fresh || !tile.canvas) return true;
    return tile.pagesRevision !== pages.revision && tile.missing.some((key) => pages.decoded.has(key));
  }

  /**
   * Paint what lags, until a time.
   * @param {MapTile[]} seen the most urgent first @param {MapPages} pages @param {number} deadline
   * @returns {boolean} whether something is left to paint
   */
  paint(seen, pages, deadline) {
    for (const tile of seen) {
      while (tile.work || this.lags(tile, pages)) {
        if (performance.now() >= deadline) return true;
        if (!tile.work) this.start(tile, pages);
        if (tile.work.next().done) this.finish(tile);
      }
    }
    return false;
  }

  /** @param {MapTile} tile @param {MapPages} pages */
  start(tile, pages) {
    tile.draft = this.spare.pop() || document.createElement("canvas");
    if (tile.draft.width !== TILE_SIDE || tile.draft.height !== TILE_SIDE) {
      [tile.draft.width, tile.draft.height] = [TILE_SIDE, TILE_SIDE];
    }
    const { work, missing } = this.begin(tile, tile.draft);
    [tile.work, tile.draftMissing, tile.draftRevision] = [work, missing, pages.revision];
  }

  /** @param {MapTile} tile */
  finish(tile) {
    if (tile.former) this.spare.push(tile.former);
    tile.former = tile.canvas;
    tile.canvas = tile.draft;
    tile.born = performance.now();
    [tile.fresh, tile.missing, tile.pagesRevision] = [true, tile.draftMissing, tile.draftRevision];
    [tile.work, tile.draft] = [null, null];
    this.painted++;
  }

  /** @param {MapTile} tile @param {number} now @returns {number} 0 to 1, how far it has come in sight */
  faded(tile, now) {
    if (!tile.canvas) return 0;
    const share = STILL.matches ? 1 : Math.min(1, Math.max(0, (now - tile.born) / FADE));
    if (share === 1 && tile.former) {
      this.spare.push(tile.former);
      tile.former = null;
    }
    return share;
  }
}

/**
 * Draw tiles on the screen, each over what was there before until it has come in sight.
 */
class TileDrawing {
  /** @param {CanvasRenderingContext2D} context @param {MapCamera} camera @param {MapTiles} tiles @param {number} now */
  constructor(context, camera, tiles, now) {
    [this.context, this.camera, this.tiles, this.now] = [context, camera, tiles, now];
    this.fading = false;
  }

  /** Screen pixels of a tile, whole ones, so that neighbours meet. @returns {[number, number, number, number]} */
  box(z, column, row) {
    const { camera } = this;
    const step = 2 ** -z;
    const [x0, y0] = camera.toScreen(column * step, row * step);
    const [x1, y1] = camera.toScreen((column + 1) * step, (row + 1) * step);
    const [left, top] = [Math.round(x0), Math.round(y0)];
    return [left, top, Math.round(x1) - left, Math.round(y1) - top];
  }

  /** Whether there is nothing of a tile that could be drawn. @param {MapTile} tile */
  isHole(tile) {
    const { z, column, row } = tile;
    if (tile.former || this.tiles.faded(tile, this.now) === 1) return false;
    for (let up = 1; up <= FALLBACK_LEVELS; up++) if (this.tiles.peek(z - up, column >> up, row >> up)) return false;
    return !this.parts(tile).every(Boolean);
  }

  /** @param {MapTile} tile @param {HTMLCanvasElement} live of the whole screen */
  fill(tile, live) {
    const { context, camera } = this;
    const [x, y, width, height] = this.box(tile.z, tile.column, tile.row);
    const [left, top] = [Math.max(0, x), Math.max(0, y)];
    const [w, h] = [Math.min(camera.width, x + width) - left, Math.min(camera.height, y + height) - top];
    if (w <= 0 || h <= 0) return;
    context.globalAlpha = Math.min(1, 2 - 2 * this.tiles.faded(tile, this.now));
    context.drawImage(live, left, top, w, h, left, top, w, h);
    context.globalAlpha = 1;
  }

  /** @param {MapTile} tile */
  draw(tile) {
    const { context, tiles, now } = this;
    const share = tiles.faded(tile, now);
    const box = this.box(tile.z, tile.column, tile.row);
    // First the new over the old, then the old goes: at no time does the ground shine through both.
    if (share < 1) {
      context.globalAlpha = Math.min(1, 2 - 2 * share);
      if (tile.former) context.drawImage(tile.former, ...box);
      else if (!this.drawFiner(tile)) this.drawCoarser(tile, box);
      this.fading = true;
    }
    if (share > 0) {
      context.globalAlpha = Math.min(1, 2 * share);
      context.drawImage(tile.canvas, ...box);
    }
    context.globalAlpha = 1;
  }

  /** Its four parts of the next level. @param {MapTile} tile */
  parts({ z, column, row }) {
    return [[0, 0], [1, 0], [0, 1], [1, 1]].map(([x, y]) => this.tiles.peek(z + 1, 2 * column + x, 2 * row + y));
  }

  /** @param {MapTile} tile @returns {boolean} whether they could be drawn */
  drawFiner(tile) {
    const parts = this.parts(tile);
    if (!parts.every(Boolean)) return false;
    for (const part of parts) this.context.drawImage(part.canvas, ...this.box(part.z, part.column, part.row));
    return true;
  }

  /** @param {MapTile} tile @param {[number, number, number, number]} box @returns {boolean} whether a coarser tile was drawn */
  drawCoarser({ z, column, row }, box) {
    for (let up = 1; up <= FALLBACK_LEVELS; up++) {
      const parts = 2 ** up;
      const [c, r] = [column >> up, row >> up];
      const found = this.tiles.peek(z - up, c, r);
      if (found) {
        const side = TILE_SIDE / parts;
        this.context.drawImage(found.canvas, (column - c * parts) * side, (row - r * parts) * side, side, side, ...box);
        return true;
      }
    }
    return false;
  }
}
