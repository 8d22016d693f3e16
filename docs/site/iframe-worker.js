// Pages read from disk (file://) may not start a worker, which search runs in: use a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.appendChild(frame)
      this.frame = frame
      this.window = frame.contentWindow
      const inside = this.window.document
      this.window.postMessage = data => this.receive(data)
      this.window.importScripts = (...urls) => urls.reduce(
        (before, one) => before.then(() => load(inside, one)), Promise.resolve())
      this.ready = load(inside, url)
    }

    postMessage(data) {
      this.ready.then(() => this.window.dispatchEvent(
        new MessageEvent("message", { data: structuredClone(data) })))
    }

    receive(data) {
      const event = new MessageEvent("message", { data: structuredClone(data) })
      this.dispatchEvent(event)
      if (this.onmessage) this.onmessage(event)
    }

    terminate() {
      this.frame.remove()
    }
  }

  function load(inside, url) {
    return new Promise((resolve, reject) => {
      const script = inside.createElement("script")
      script.src = new URL(url, location.href)
      script.onload = resolve
      script.onerror = reject
      inside.body.appendChild(script)
    })
  }
}
