"use strict";
const button = document.getElementById("download");
button.hidden = false;
button.addEventListener("click", () => {
  const text = document.getElementById("evidence").textContent;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = button.dataset.name;
  link.click();
  URL.revokeObjectURL(link.href);
});
