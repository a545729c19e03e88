// Numbers in words: times, sizes, ages.
// One idea: a person reads the two largest units; everything is English and says its unit.

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { weekday: "short" });
const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** "1 h 12 min" */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  const minutes = Math.round(s / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return hours % 24 ? `${Math.floor(hours / 24)} d ${hours % 24} h` : `${Math.floor(hours / 24)} d`;
}

/** "2.4 s", for what is counted in seconds and their parts. */
export function seconds(value) {
  return value === null || value === undefined ? "" : value < 60 ? `${Number(value.toFixed(1))} s` : duration(value);
}

/** The time of day, with the day if it is not today's. Takes seconds since 1970. */
export function clock(time) {
  const then = new Date(time * 1000);
  const today = new Date();
  if (then.toDateString() === today.toDateString()) return CLOCK.format(then);
  const days = Math.abs(then - today) / 86400000;
  return `${days < 6 ? DAY.format(then) : DATE.format(then)} ${CLOCK.format(then)}`;
}

/** "12 s ago" */
export function ago(age) {
  if (age === null || age === undefined) return "never";
  if (age < 3) return "now";
  if (age < 3600) return `${duration(age)} ago`;
  return age < 172800 ? `${Math.round(age / 3600)} h ago` : `${Math.round(age / 86400)} d ago`;
}

/** "3.5 MB" */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = -1;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** "one printer", "3 printers" */
export function count(number, one, many) {
  return number === 1 ? `one ${one}` : `${number} ${many}`;
}

/** The first letter large. */
export function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
