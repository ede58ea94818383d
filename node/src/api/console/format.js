// Numbers, times and places, as people read them.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
const COUNT = new Intl.NumberFormat("en");

/** `1,234,567`. */
export function count(value) {
  return COUNT.format(value);
}

/** `3 objects`, `1 object`. */
export function counted(value, word) {
  return `${count(value)} ${word}${value === 1 ? "" : "s"}`;
}

/** `12.3 MiB`. */
export function bytes(value) {
  let [rest, unit] = [value, 0];
  while (rest >= 1024 && unit < UNITS.length - 1) {
    rest /= 1024;
    unit += 1;
  }
  // 1023.96 would be written as 1024.0.
  if (unit > 0 && rest >= 1023.95 && unit < UNITS.length - 1) [rest, unit] = [1, unit + 1];
  return unit === 0 ? `${rest} B` : `${rest.toFixed(rest < 100 ? 1 : 0)} ${UNITS[unit]}`;
}

/** `12.3 MiB/s`. */
export function rate(value) {
  return `${bytes(value)}/s`;
}

/** `2 d 3 h`, `4 min 5 s`, `6 s`: the two largest parts. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const parts = [
    [Math.floor(whole / 86400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([value]) => value > 0);
  if (first < 0) return "0 s";
  const shown = parts.slice(first, first + 2).filter(([value]) => value > 0);
  return shown.map(([value, unit]) => `${value} ${unit}`).join(" ");
}

/** The same of milliseconds, with tenths of a second while it is short. */
export function span(ms) {
  return ms < 10000 ? `${(Math.floor(ms / 100) / 10).toFixed(1)} s` : duration(ms / 1000);
}

/** `37 %`; neither 0 nor 100 while something is, and something is not, done. */
export function percent(part, whole) {
  if (whole <= 0) return "";
  if (part >= whole) return "100 %";
  const value = Math.floor((part / whole) * 1000) / 10;
  if (value >= 10) return `${Math.floor(value)} %`;
  return part > 0 && value === 0 ? "< 0.1 %" : `${value} %`;
}

/** A moment of the API, by the clock of whoever looks: `14:03` today, with the date otherwise. */
export function moment(text) {
  const time = new Date(text);
  const isToday = time.toDateString() === new Date().toDateString();
  const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  const day = { year: "numeric", month: "short", day: "numeric" };
  return new Intl.DateTimeFormat("en-GB", isToday ? clock : { ...day, ...clock }).format(time);
}

/** Bytes of the API, which are text unless they are not UTF-8: those are escaped, `\xff`. */
export function place(value) {
  if (typeof value === "string") return value.replace(/[\u0000-\u001f\u007f]/g, escaped);
  const raw = Array.from(atob(value.base64), (char) => char.charCodeAt(0));
  return raw.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : hex(byte))).join("");
}

function escaped(char) {
  return hex(char.charCodeAt(0));
}

function hex(byte) {
  return `\\x${byte.toString(16).padStart(2, "0")}`;
}

/** A long text or location without its middle: where it is, `NODE:` or `s3://`, and its end are kept. */
export function short(text, most) {
  if (text.length <= most) return text;
  const head = /^[^/:]{1,12}:(\/\/)?/.exec(text)?.[0] ?? text.slice(0, Math.floor(most / 3));
  const tail = Math.max(1, most - head.length - 1);
  return `${head}…${text.slice(-tail)}`;
}
