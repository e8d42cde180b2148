// MQTT.js in Node, driven by a test.
import mqtt from 'mqtt'
import { newAgent } from './agent.mjs'
import { answer, say } from './lines.mjs'

answer(newAgent(mqtt))
say({ ready: true })
