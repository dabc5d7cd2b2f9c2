"use strict";
// A drag across a chart shows the epochs under it, a double click all of them
// again, and the pointer reads values. The chart in the page stays as it is until then.
for (const figure of document.querySelectorAll("figure")) {
  const source = figure.querySelector("script")
  if (source) zoomable(figure, figure.querySelector("svg"), JSON.parse(source.textContent))
}

function zoomable(figure, svg, {left, right, top, bottom, bars, zero, name, format, sign, epochs, series}) {
  const drawn = [...svg.childNodes], all = {first: 0, last: epochs.length - 1, left}, {width, height} = svg.viewBox.baseVal
  const half = bars ? (epochs[1] - epochs[0]) / 2 : 0
  const make = (kind, of, text) => {
    const e = svg.ownerDocument.createElementNS(svg.namespaceURI, kind)
    for (const k in of) e.setAttribute(k, of[k])
    if (text !== undefined) e.textContent = text
    return e
  }
  const cursor = make("line", {class: "cursor", y1: top, y2: bottom}), picked = make("rect", {class: "picked", y: top, height: bottom - top})
  const readout = document.createElement("p"), at = readout.appendChild(document.createElement("span")), hint = readout.appendChild(document.createElement("span"))
  const values = [...figure.querySelectorAll(".key b")].map(b => b.parentNode.appendChild(document.createElement("i")))
  readout.className = "at"
  svg.after(readout)
  svg.classList.add("zooms")

  const span = () => [epochs[view.first] - half, epochs[view.last] + half]
  const x = epoch => view.left + (right - view.left) * (epoch - span()[0]) / (span()[1] - span()[0])
  const nearest = event => { // epoch under the pointer, by its place in the list
    const box = svg.getBoundingClientRect(), [low, high] = span()
    const epoch = low + (high - low) * ((event.clientX - box.left) * width / box.width - view.left) / (right - view.left)
    let best = view.first
    for (let i = view.first; i <= view.last; i++) if (Math.abs(epochs[i] - epoch) < Math.abs(epochs[best] - epoch)) best = i
    return best
  }
  const small = v => format.maximumSignificantDigits && v !== 0 && Math.abs(v) < 1e-4
  const text = v => v === null ? "none" : (small(v) ? v.toExponential(3) : v.toLocaleString("en", format)) + sign
  const read = (i, on) => {
    at.textContent = `epoch ${epochs[i]}` + (values.length ? "" : `: ${text(series[0].values[i])}`)
    values.forEach((e, k) => { e.textContent = text(series[k].values[i]) })
    hint.textContent = view === all ? "drag to zoom in" : "double click to see all"
    for (const side of ["x1", "x2"]) cursor.setAttribute(side, x(epochs[i]))
    cursor.classList.toggle("on", on)
  }
  const ticks = (low, high, whole) => { // multiples of 1, 2 or 5 times a power of ten, four to nine of them
    let step = 10 ** Math.floor(Math.log10((high - low) / 4))
    step *= [5, 2, 1].find(m => m === 1 || (high - low) / (step * m) >= 4)
    if (whole) step = Math.max(step, 1)
    const list = [], decimals = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9))
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) list.push([k * step, (k * step).toFixed(decimals)])
    return list
  }
  const draw = () => {
    const seen = epochs.map((_, i) => i).filter(i => i >= view.first && i <= view.last)
    const sums = bars ? seen.map(i => series.reduce((sum, s) => sum + Math.max(s.values[i], 0), 0)) : series.flatMap(s => seen.map(i => s.values[i])).filter(v => v !== null)
    let high = Math.max(...sums), low = bars ? 0 : Math.min(...sums)
    const pad = bars ? high * 0.04 : (high - low) * 0.06 || Math.max(Math.abs(low) * 0.1, 1e-9)
    low = bars || zero ? 0 : low - pad
    high = high + pad || 1
    const parts = [], put = (...of) => parts.push(make(...of)), rows = ticks(low, high), y = v => bottom - (bottom - top) * (v - low) / (high - low)
    view.left = Math.max(52, ...rows.map(r => 28 + 7.2 * r[1].length))
    for (const [v, label] of rows) {
      put("line", {class: "grid", x1: view.left, x2: right, y1: y(v), y2: y(v)})
      put("text", {x: view.left - 6, y: y(v) + 4, "text-anchor": "end"}, label)
    }
    for (const [v, label] of ticks(...span(), true)) put("text", {x: x(v), y: bottom + 16, "text-anchor": "middle"}, label)
    put("line", {class: "axis", x1: view.left, x2: right, y1: bottom, y2: bottom})
    put("text", {x: (view.left + right) / 2, y: height - 6, "text-anchor": "middle"}, "epoch")
    put("text", {transform: `translate(12 ${(top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle"}, name)
    const below = seen.map(() => 0), wide = x(epochs[seen[0]] + half) - x(epochs[seen[0]] - half)
    for (const {values, class: colour, dashed} of series) {
      const there = seen.filter(i => values[i] !== null)
      if (bars) seen.forEach((i, k) => {
        const v = Math.max(values[i], 0)
        if (v > 0) put("rect", {class: `f${colour}`, x: x(epochs[i]) - wide * 0.4, width: wide * 0.8, y: y(below[k] + v), height: y(below[k]) - y(below[k] + v)})
        below[k] += v
      })
      else put("polyline", {class: `line s${colour}${dashed ? " dash" : ""}`, points: there.map(i => `${x(epochs[i])},${y(values[i])}`).join(" ")})
      if (!bars && seen.length <= 40) for (const i of there) put("circle", {class: `f${colour}`, cx: x(epochs[i]), cy: y(values[i]), r: 3})
    }
    return parts
  }
  const show = v => {
    view = v
    svg.replaceChildren(...(view === all ? drawn : draw()), picked, cursor)
    read(view.last, false)
  }
  let view = all, from = null, to = null
  const pick = () => {
    const [a, b] = from === null ? [0, 0] : [Math.min(from, to), Math.max(from, to)]
    picked.setAttribute("x", x(epochs[a] - half))
    picked.setAttribute("width", a < b ? x(epochs[b] + half) - x(epochs[a] - half) : 0)
    return [a, b]
  }
  svg.addEventListener("pointerdown", e => { if (e.button === 0) from = to = nearest(e) })
  svg.addEventListener("pointermove", e => read(nearest(e), true))
  svg.addEventListener("pointerleave", () => read(view.last, false))
  svg.addEventListener("dblclick", () => show(all))
  addEventListener("pointermove", e => { if (from !== null) { to = nearest(e); pick() } })
  const end = of => addEventListener(of, () => {
    const [first, last] = pick()
    const drag = from !== null && first < last
    from = null
    pick()
    if (drag && of === "pointerup") show({first, last})
  })
  end("pointerup")
  end("pointercancel")
  show(all)
}
