// Package will is whether a Will may be published: at CONNECT, when its session ends, and, where it has a Will Delay,
// until that is over (MQTT 5.0 section 3.1.2.5).
//
// A Will that waits is the broker's, and its session has gone. Until the delay is over the gateway keeps vigil for it:
// at each change of the policy it is judged again, and one that may not be published any more is called off, by taking
// the MQTT Session over for a moment [MQTT-3.1.3-9]. (Of a blocked user package evict ends all that sleeps.)
//
// A vigil ends with the delay, when the client comes back to that broker, through whichever instance, and with the
// gateway: nobody keeps vigil for what a gateway has left behind that has ended itself.
package will
