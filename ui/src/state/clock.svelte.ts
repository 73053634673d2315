/** The moment that relative times are counted from. Ticks once a second while the page is seen. */
export class Clock {
  now = $state(0)

  constructor(private readonly read: () => number) {
    this.now = read()
  }

  tick = (): void => {
    this.now = this.read()
  }

  /** Returns how to stop it. */
  start(): () => void {
    const timer = setInterval(() => {
      if (!document.hidden) this.tick()
    }, 1_000)
    document.addEventListener('visibilitychange', this.tick)
    return () => {
      clearInterval(timer)
      document.removeEventListener('visibilitychange', this.tick)
    }
  }
}
