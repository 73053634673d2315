/** An answer that is no success. `message` is a sentence for a person. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly field: string | null = null,
    /** What is wrong with a file, place by place. */
    readonly problems: readonly FileProblem[] = [],
  ) {
    super(message)
    this.name = 'ApiError'
  }
}

export interface FileProblem {
  line: number
  column: number
  message: string
  group: string
  rule: string
}

export const OFFLINE = 0

/** The error of an answer: the server's own sentence where it gave one. */
export async function problemOf(response: Response): Promise<ApiError> {
  const body: unknown = await response.json().catch(() => null)
  if (typeof body === 'object' && body !== null) {
    const told = 'detail' in body ? body.detail : 'error' in body ? body.error : null // Prometheus' own paths say error
    const detail = typeof told === 'string' ? told : null
    const field = 'field' in body && typeof body.field === 'string' ? body.field : null
    const problems = 'problems' in body && Array.isArray(body.problems) ? (body.problems as FileProblem[]) : []
    if (detail !== null) return new ApiError(response.status, detail, field, problems)
  }
  return new ApiError(response.status, plain(response.status))
}

function plain(status: number): string {
  if (status === 401) return 'Sign in first.'
  if (status === 403) return 'Your role does not allow this. Ask an administrator.'
  if (status === 404) return 'This does not exist, or not any more.'
  if (status === 503) return 'The server cannot reach its database right now. It will try again.'
  return `The server answered ${status}. Try again; its log says more.`
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
