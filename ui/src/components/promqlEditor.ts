/** CodeMirror with PromQL: colours, completion from the server, and its own complaints while one types. */
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from '@codemirror/autocomplete'
import { defaultKeymap, history, historyKeymap, insertNewlineAndIndent } from '@codemirror/commands'
import { bracketMatching, HighlightStyle, syntaxHighlighting } from '@codemirror/language'
import { lintKeymap, setDiagnostics } from '@codemirror/lint'
import { EditorState, Prec } from '@codemirror/state'
import { EditorView, keymap, placeholder } from '@codemirror/view'
import { tags } from '@lezer/highlight'
import { PromQLExtension } from '@prometheus-io/codemirror-promql'

export interface Editor {
  setText: (text: string) => void
  setWrong: (wrong: { offset: number; message: string } | null) => void
  close: () => void
}

interface Options {
  text: string
  label: string
  onchange: (text: string) => void
  onrun: (text: string) => void
  fetcher: typeof fetch
}

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.modifier], color: 'var(--series-3)' },
  { tag: tags.function(tags.variableName), color: 'var(--series-2)' },
  { tag: tags.labelName, color: 'var(--series-6)' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--series-5)' },
  { tag: [tags.number, tags.bool], color: 'var(--series-4)' },
  { tag: tags.comment, color: 'var(--muted)', fontStyle: 'italic' },
  { tag: tags.invalid, color: 'var(--critical)' },
])

const look = EditorView.theme({
  '&': { fontSize: '13.5px', color: 'var(--text)' },
  '&.cm-focused': { outline: 'none' },
  '.cm-content': { fontFamily: 'var(--mono)', padding: '8px 4px', caretColor: 'var(--text)' },
  '.cm-cursor': { borderLeftColor: 'var(--text)' },
  '.cm-placeholder': { color: 'var(--muted)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': {
    background: 'var(--accent-soft)',
  },
  '.cm-matchingBracket': { background: 'var(--accent-soft)', outline: 'none' },
  '.cm-tooltip': {
    border: '1px solid var(--line)',
    borderRadius: 'var(--radius-small)',
    background: 'var(--raised)',
    color: 'var(--text)',
    boxShadow: 'var(--shadow-high)',
  },
  '.cm-tooltip-autocomplete > ul': { fontFamily: 'var(--mono)' },
  '.cm-tooltip-autocomplete > ul > li[aria-selected]': { background: 'var(--accent-soft)', color: 'var(--text)' },
  '.cm-completionDetail': { color: 'var(--muted)', fontStyle: 'normal' },
})

export function openEditor(parent: HTMLElement, options: Options): Editor {
  const promql = new PromQLExtension().setComplete({
    remote: { url: '.', httpMethod: 'GET', fetchFn: options.fetcher, httpErrorHandler: () => undefined },
  })
  const run = (view: EditorView): boolean => {
    options.onrun(view.state.doc.toString())
    return true
  }
  const view = new EditorView({
    parent,
    state: EditorState.create({
      doc: options.text,
      extensions: [
        history(),
        bracketMatching(),
        closeBrackets(),
        autocompletion(),
        promql.asExtension(),
        syntaxHighlighting(colours),
        look,
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ 'aria-label': options.label, autocapitalize: 'none', spellcheck: 'false' }),
        placeholder('An expression, like rate(http_requests_total[5m])'),
        keymap.of([...closeBracketsKeymap, ...completionKeymap, ...lintKeymap, ...historyKeymap, ...defaultKeymap]),
        Prec.high(
          keymap.of([
            { key: 'Enter', run },
            { key: 'Shift-Enter', run: insertNewlineAndIndent },
          ]),
        ),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) options.onchange(update.state.doc.toString())
        }),
      ],
    }),
  })
  return {
    setText: (text) => {
      if (text === view.state.doc.toString()) return
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } })
    },
    setWrong: (wrong) => {
      const length = view.state.doc.length
      const from = Math.min(wrong?.offset ?? 0, Math.max(0, length - 1))
      const marks = wrong === null ? [] : [{ from, to: Math.min(from + 1, length), severity: 'error' as const, message: wrong.message }]
      view.dispatch(setDiagnostics(view.state, marks))
    },
    close: () => view.destroy(),
  }
}
