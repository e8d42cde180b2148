// Package policy answers whether a principal may publish to, receive from or
// subscribe to a topic.
package policy
