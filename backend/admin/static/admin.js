"use strict";

// Recovered pictures are in the page alone: saving one costs no second request, which would be refused.
for (const button of document.querySelectorAll("button[data-saves]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const [, coded] = document.getElementById(button.dataset.saves).src.split(",");
    const bytes = Uint8Array.from(atob(coded), (sign) => sign.charCodeAt(0));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
    link.download = button.dataset.name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}
