import type { IClientOptions, MqttClient } from 'mqtt'

/** What the gateway says of an operation that it refused. */
export interface Rejected {
  time: string
  action: 'publish' | 'subscribe'
  topic: string
  qos: 0 | 1 | 2
  reason: string
}

export interface Options extends Omit<IClientOptions, 'manualConnect' | 'reconnectPeriod' | 'password'> {
  /**
   * The access token, asked for before each connection and a minute before it ends. fresh: the last one ends or was refused, so
   * a stored one will not do. Nothing: nobody is signed in. A rejected promise: not now, it is asked again.
   */
  token: (want: { fresh: boolean }) => string | null | undefined | Promise<string | null | undefined>
  /** Hears of each publish and subscription that was refused, in every version of MQTT. */
  onRejected?: (rejected: Rejected) => void
  /** Hears that trying again is no use: a fresh token was refused as well, the user is blocked, nobody is signed in. */
  onStopped?: (error: Error & { code?: number }) => void
}

/** Connects by MQTT.js 5 and stays connected, with a good token, until the client is ended. */
export function connect(mqtt: { connect(url: string, options: IClientOptions): MqttClient }, url: string, options: Options): MqttClient
