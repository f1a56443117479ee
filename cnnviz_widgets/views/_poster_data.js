/**
 * What the traits of a poster say of where everything is; one for all views of a model.
 *
 * @typedef {{title: string, subtitle: string, box: number[], first: number, count: number, room: number}} PosterBand
 *   `room` is the width in the world that its heading may take
 * @typedef {{label: string, box: number[], first: number, count: number}} PosterBlock
 */

class PosterData {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    this.read();
  }

  read() {
    const { model } = this;
    this.version = model.get("version");
    this.boxes = numbersOf(model.get("boxes"), Float32Array);
    this.count = this.boxes.length >> 2;
    /** @type {string[]} */
    this.keys = model.get("tile_keys");
    /** @type {string[]} */
    this.labels = model.get("tile_labels");
    /** @type {string[]} */
    this.names = model.get("tile_names");
    /** @type {PosterBlock[]} */
    this.blocks = model.get("blocks");
    [this.heading, this.label] = model.get("strips");
    this.bands = bandsWithRoom(model.get("bands"));
    this.bandOf = new Int32Array(this.count);
    this.bands.forEach(({ first, count }, band) => this.bandOf.fill(band, first, first + count));
    this.blocksOf = this.bands.map(({ first, count }) => this.blocks.filter((it) => it.first >= first && it.first < first + count));
    this.bounds = boundsOf(this.bands.map(({ box }) => box));
  }

  /** Left, top, width and height in the world. @param {number} index */
  box(index) {
    return this.boxes.subarray(4 * index, 4 * index + 4);
  }

  /** Tiles that reach into a rectangle. @returns {number[]} */
  within(left, top, right, bottom) {
    const { boxes, count } = this;
    const found = [];
    for (let i = 0, at = 0; i < count; i++, at += 4) {
      if (boxes[at] <= right && boxes[at + 1] <= bottom && boxes[at] + boxes[at + 2] >= left && boxes[at + 1] + boxes[at + 3] >= top) {
        found.push(i);
      }
    }
    return found;
  }

  /** The tile at a place of the world, -1 for none. @param {number} x @param {number} y */
  at(x, y) {
    const found = this.within(x, y, x, y);
    return found.length ? found[found.length - 1] : -1;
  }

  /** @param {number} index @returns {[number, number]} */
  middle(index) {
    const [x, y, width, height] = this.box(index);
    return [x + width / 2, y + height / 2];
  }

  /** The tile nearest to a place. @param {number} x @param {number} y */
  nearest(x, y) {
    return this.least((i) => Math.hypot(this.middle(i)[0] - x, this.middle(i)[1] - y));
  }

  /** The next tile in a direction, -1 if there is none. @param {number} from @param {number} dx @param {number} dy */
  towards(from, dx, dy) {
    const [x, y] = this.middle(from);
    return this.least((i) => {
      const [mx, my] = this.middle(i);
      const along = (mx - x) * dx + (my - y) * dy;
      const across = Math.abs((mx - x) * dy) + Math.abs((my - y) * dx);
      return i !== from && along > 1e-6 && across <= 3 * along ? along + 2 * across : Infinity;
    });
  }

  /** @param {(index: number) => number} away @returns {number} */
  least(away) {
    let [best, least] = [-1, Infinity];
    for (let i = 0; i < this.count; i++) {
      const now = away(i);
      if (now < least) [best, least] = [i, now];
    }
    return best;
  }

  /** @param {number} index */
  name(index) {
    return this.names[index] || this.labels[index] || this.blockOf(index).label || this.keys[index];
  }

  /** With its band's. @param {number} index */
  fullName(index) {
    return `${this.bands[this.bandOf[index]].title} · ${this.name(index)}`;
  }

  /** @param {number} index @returns {PosterBlock} */
  blockOf(index) {
    let [low, high] = [0, this.blocks.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.blocks[middle].first <= index) low = middle;
      else high = middle - 1;
    }
    return this.blocks[low];
  }
}

/** @param {Omit<PosterBand, "room">[]} bands @returns {PosterBand[]} */
function bandsWithRoom(bands) {
  return bands.map((band, i) => {
    const next = bands[i + 1];
    const end = next && next.box[1] === band.box[1] ? next.box[0] : 1;
    return { ...band, room: Math.max(band.box[2], end - band.box[0]) };
  });
}

/** @param {number[][]} boxes @returns {{left: number, top: number, right: number, bottom: number}} */
function boundsOf(boxes) {
  if (!boxes.length) return { left: 0, top: 0, right: 1, bottom: 1 };
  return {
    left: Math.min(...boxes.map(([x]) => x)), top: Math.min(...boxes.map(([, y]) => y)),
    right: Math.max(...boxes.map(([x, , width]) => x + width)), bottom: Math.max(...boxes.map(([, y, , height]) => y + height)),
  };
}
