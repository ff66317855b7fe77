// Numbers and times as people read them. Rule: every moment is shown in UTC and in KST.

const KST_SECONDS = 9 * 3600;

export function money(amount) {
  return Number(amount).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}

export function exact(amount) {
  // Digits as they came, with thousands separators: a price keeps its own precision.
  const [whole, part] = String(amount).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return part === undefined ? grouped : `${grouped}.${part}`;
}

export function rounded(amount, decimals) {
  return Number(amount).toLocaleString("en-US", { maximumFractionDigits: decimals });
}

export function duration(seconds) {
  const whole = Math.floor(seconds);
  const two = (value) => String(value).padStart(2, "0");
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

export function clock(seconds, { date = false } = {}) {
  const text = new Date(seconds * 1000).toISOString();
  return date ? `${text.slice(5, 10)} ${text.slice(11, 19)}` : text.slice(11, 19);
}

export function clockKst(seconds, options) {
  return clock(seconds + KST_SECONDS, options);
}

export function hourMinute(seconds) {
  return `${clock(seconds).slice(0, 5)}\n${clockKst(seconds).slice(0, 5)}`;
}

export function bothOf(seconds) {
  return `${clock(seconds, { date: true })} UTC · ${clockKst(seconds)} KST`;
}

export function both(moment) {
  if (!moment) return "–";
  return `${moment.utc.slice(5, 10)} ${moment.utc.slice(11, 19)} UTC · ${moment.kst.slice(11, 19)} KST`;
}
