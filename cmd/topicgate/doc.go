// Topicgate is a WebSocket-to-MQTT gateway and auth proxy in front of an MQTT broker.
//
// This package answers: which parts make up this process? It reads the command line and, by
// package config, the environment; it makes the parts, joins them, and takes them down in order.
// No other package reads a flag, a variable or a signal.
//
// Exit status: 0 done (or allowed), 1 refused, invalid, denied or failed, 2 wrong usage or
// settings. Results go to standard output; errors, as one sentence, and the log to standard error.
package main
