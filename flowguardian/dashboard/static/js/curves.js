// Curves kept in step with the server's. Rule: never more points than the server keeps.

import { ask } from "./api.js";

export class Curve {
  constructor(name, most, onWhole) {
    this.name = name;
    this.points = [];
    this.most = most;
    this.epoch = -1;
    this.onWhole = onWhole;
    this.asking = false;
  }

  // News of the end; what was missed is asked for as a whole.
  apply({ epoch, count, tail }) {
    const start = count - tail.length;
    if (epoch !== this.epoch || start > this.points.length) {
      void this.whole();
      return;
    }
    this.points.length = start;
    this.points.push(...tail);
  }

  async whole() {
    if (this.asking) return;
    this.asking = true;
    try {
      const found = await ask(`/api/curve/${this.name}`);
      this.epoch = found.epoch;
      this.points = found.points.slice(-this.most);
      this.onWhole();
    } catch {
      this.epoch = -1; // The next news asks again.
    } finally {
      this.asking = false;
    }
  }

  columns(count) {
    const columns = Array.from({ length: count }, () => new Array(this.points.length));
    this.points.forEach((point, at) => {
      for (let column = 0; column < count; column += 1) columns[column][at] = point[column];
    });
    return columns;
  }
}
