// MQTT.js 2, as old applications have it, driven by a test.
import mqtt from 'mqtt2'
import { newAgent } from './agent.mjs'
import { answer, say } from './lines.mjs'

answer(newAgent(mqtt))
say({ ready: true })
