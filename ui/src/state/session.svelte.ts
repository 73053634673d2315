import type { Client } from '../api/client'
import { ApiError, messageOf } from '../api/problem'
import { atLeast } from '../model/roles'
import type { Role, Session } from '../model/types'

export type SessionStatus = 'starting' | 'out' | 'in' | 'unreachable'

/** Who is signed in. */
export class SessionStore {
  status = $state<SessionStatus>('starting')
  session = $state.raw<Session | null>(null)
  error = $state('')

  constructor(private readonly client: Pick<Client, 'session' | 'signIn' | 'redeemLink'>) {}

  may(role: Exclude<Role, 'writer'>): boolean {
    return this.session !== null && atLeast(this.session.role, role)
  }

  /** Ask the server who we are. */
  async load(): Promise<void> {
    try {
      this.session = await this.client.session()
      this.status = 'in'
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) this.signedOut()
      else if (this.status !== 'in') {
        this.status = 'unreachable'
        this.error = messageOf(error)
      }
    }
  }

  async signIn(username: string, password: string): Promise<void> {
    await this.client.signIn(username, password)
    await this.load()
  }

  async redeem(link: string): Promise<void> {
    await this.client.redeemLink(link)
    await this.load()
  }

  signedOut = (): void => {
    this.session = null
    this.status = 'out'
  }
}
