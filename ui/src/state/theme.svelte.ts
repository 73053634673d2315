export type Theme = 'auto' | 'light' | 'dark'

const KEY = 'tocsin.theme'
const NEXT: Record<Theme, Theme> = { auto: 'light', light: 'dark', dark: 'auto' }

/** The chosen theme, and what it comes to: charts must be painted again when that changes. */
export class ThemeStore {
  chosen = $state<Theme>('auto')
  private systemDark = $state(false)
  readonly shown = $derived<'light' | 'dark'>(this.chosen === 'auto' ? (this.systemDark ? 'dark' : 'light') : this.chosen)

  constructor(private readonly storage: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'> | null) {
    const kept = storage?.getItem(KEY)
    if (kept === 'light' || kept === 'dark') this.chosen = kept
  }

  /** Follows the system until told otherwise. */
  follow(query: MediaQueryList): void {
    this.systemDark = query.matches
    query.addEventListener('change', (event) => (this.systemDark = event.matches))
  }

  next(root: HTMLElement): void {
    this.choose(NEXT[this.chosen], root)
  }

  choose(theme: Theme, root: HTMLElement): void {
    this.chosen = theme
    if (theme === 'auto') {
      delete root.dataset['theme']
      this.storage?.removeItem(KEY)
    } else {
      root.dataset['theme'] = theme
      this.storage?.setItem(KEY, theme)
    }
  }
}
