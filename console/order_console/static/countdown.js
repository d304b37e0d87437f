// How long is left, by the server's clock. Without scripts the time itself stands there.
(() => {
  const show = () => {
    for (const each of document.querySelectorAll("time[data-until]")) {
      each.skew ??= Number(each.dataset.now) - Date.now();
      const left = Math.round((Number(each.dataset.until) - Date.now() - each.skew) / 1000);
      const [h, m, s] = [Math.floor(left / 3600), Math.floor(left / 60) % 60, left % 60];
      each.textContent = left <= 0 ? "now" : h ? `${h} h ${m} min left` : m ? `${m} min ${s} s left` : `${s} s left`;
    }
  };
  show();
  setInterval(show, 1000);
})();
