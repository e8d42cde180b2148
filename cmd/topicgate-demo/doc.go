// Command topicgate-demo shows topicgate at work on one machine, with nothing to configure.
//
// It starts a real mosquitto, a real redis-server and the gateway as child processes on free
// loopback ports, serves a development OpenID Provider (provider.go) and a chat page with a small
// back end (backend.go), loads the rules of chat.acl and the rooms' members into Redis, and prints
// where to look. Ctrl-C takes everything down; nothing is left behind.
//
// It is a binary of its own so that nothing made for development is inside the gateway. The
// provider asks for no password and the back end for no login: both listen on loopback only and
// answer only under their own Host and, where something is changed, their own Origin.
package main
