/** The overview's charts. A chart whose metrics have no series is not shown. */

export interface View {
  label: string
  metrics: readonly { metric: string; match?: readonly string[]; name?: string }[]
  unit: string
  stacked?: boolean
  /** The axis always reaches up to here. */
  top?: number
}

export interface Panel {
  key: string
  title: string
  views: readonly [View, ...View[]]
}

export const PANELS: readonly Panel[] = [
  {
    key: 'cpu',
    title: 'CPU',
    views: [
      { label: 'Busy', metrics: [{ metric: 'system.cpu.usage' }], unit: '%', top: 100 },
      {
        label: 'By mode',
        metrics: [{ metric: 'system.cpu.utilization', match: ['mode!="idle"'] }],
        unit: '1',
        stacked: true,
        top: 1,
      },
    ],
  },
  {
    key: 'memory',
    title: 'Memory',
    views: [
      { label: 'In use', metrics: [{ metric: 'system.memory.usage' }], unit: '%', top: 100 },
      { label: 'By state', metrics: [{ metric: 'system.memory.bytes' }], unit: 'By', stacked: true },
    ],
  },
  {
    key: 'disk',
    title: 'Disk space in use',
    views: [{ label: '', metrics: [{ metric: 'system.disk.usage' }], unit: '%', top: 100 }],
  },
  {
    key: 'load',
    title: 'Load average',
    views: [
      {
        label: '',
        metrics: [
          { metric: 'system.cpu.load_average.1m', name: '1 min' },
          { metric: 'system.cpu.load_average.5m', name: '5 min' },
          { metric: 'system.cpu.load_average.15m', name: '15 min' },
        ],
        unit: '',
      },
    ],
  },
  {
    key: 'network',
    title: 'Network',
    views: [{ label: '', metrics: [{ metric: 'system.network.rate' }], unit: 'By/s' }],
  },
  {
    key: 'disk-io',
    title: 'Disk reads and writes',
    views: [{ label: '', metrics: [{ metric: 'system.disk.rate' }], unit: 'By/s' }],
  },
  {
    key: 'disk-busy',
    title: 'Disk busy',
    views: [{ label: '', metrics: [{ metric: 'system.disk.busy' }], unit: '%', top: 100 }],
  },
  {
    key: 'swap',
    title: 'Swap in use',
    views: [{ label: '', metrics: [{ metric: 'system.swap.usage' }], unit: '%', top: 100 }],
  },
  {
    key: 'temperature',
    title: 'Temperature',
    views: [{ label: '', metrics: [{ metric: 'hw.temperature' }], unit: 'Cel' }],
  },
]

/** The views of a panel that have something to show. */
export function viewsWithData(panel: Panel, metrics: ReadonlySet<string>): View[] {
  return panel.views.filter((view) => view.metrics.some(({ metric }) => metrics.has(metric)))
}
