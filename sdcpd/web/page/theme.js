// The scheme that somebody chose here, set before the first paint so that nothing flashes.
try {
  const chosen = localStorage.getItem("sdcpd.theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch { /* storage is switched off: the system's scheme it is */ }
