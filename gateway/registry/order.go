package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// Order asks every instance to end sessions. Who is disconnected may come back at once: who may
// not is in the set <prefix>blocked.
type Order struct {
	User     string   `json:"user"`
	ClientID string   `json:"client_id,omitempty"` // as the client knows it; empty: any
	Sessions []string `json:"sessions,omitempty"`  // session ids; none: any
}

// controlMessage is a message on the channel <prefix>ctl, in JSON. One of its members is set.
type controlMessage struct {
	Disconnect *Order    `json:"disconnect,omitempty"`
	Asked      *question `json:"asked,omitempty"`
	Answered   string    `json:"answered,omitempty"` // the id of a question, whose answer is yes
	Denied     string    `json:"denied,omitempty"`   // the id of one, whose answer is no
}

func parseControl(text string) (controlMessage, error) {
	var message controlMessage
	if err := json.Unmarshal([]byte(text), &message); err != nil {
		return message, err
	}
	if message.Disconnect != nil && message.Disconnect.User == "" || message.Disconnect == nil && message.Asked == nil && message.Answered == "" && message.Denied == "" {
		return message, errors.New("no order to disconnect a user, no question and no answer")
	}
	return message, nil
}

const (
	// disconnectPoll is how often Disconnect looks whether sessions have ended.
	disconnectPoll = 50 * time.Millisecond
	// disconnectRepeat is how often it repeats its order, for an instance whose connection was being
	// opened anew.
	disconnectRepeat = time.Second
)

// Disconnect has all instances end the sessions of a user, or those with one Client Identifier ("": all). It
// returns the sessions that have ended, and those that had not when ctx ended. prefix is that of the
// gateways' keys.
func Disconnect(ctx context.Context, client redis.UniversalClient, prefix, user, clientID string) (gone, left []LiveSession, err error) {
	keys := registryKeys{prefix}
	all, err := LiveSessions(ctx, client, prefix)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range all {
		if s.User == user && (clientID == "" || s.ClientID == clientID) {
			left = append(left, s)
		}
	}
	// Also when the registry has none: a session may be about to enter it.
	order := Order{User: user, ClientID: clientID}
	if err := order.publish(ctx, client, keys); err != nil {
		return nil, left, err
	}
	named := left
	left, err = awaitEnd(ctx, client, keys, order, named)
	gone = slices.DeleteFunc(slices.Clone(named), func(s LiveSession) bool { return slices.Contains(left, s) })
	return gone, left, err
}

// awaitEnd waits until the registry has none of sessions any more, and returns those that it still has when
// ctx ends.
func awaitEnd(ctx context.Context, client redis.UniversalClient, keys registryKeys, order Order, left []LiveSession) ([]LiveSession, error) {
	poll, repeat := time.NewTicker(disconnectPoll), time.NewTicker(disconnectRepeat)
	defer poll.Stop()
	defer repeat.Stop()
	for len(left) > 0 {
		var err error
		select {
		case <-ctx.Done():
			return left, nil
		case <-repeat.C:
			// By their ids: who has come back meanwhile stays.
			order.Sessions = nil
			for _, s := range left {
				order.Sessions = append(order.Sessions, s.Session)
			}
			err = order.publish(ctx, client, keys)
		case <-poll.C:
			var live []LiveSession
			if live, err = stillLive(ctx, client, keys, left); err == nil {
				left = live
			}
		}
		if err != nil && ctx.Err() == nil {
			return left, err
		}
	}
	return nil, nil
}

func (o Order) publish(ctx context.Context, client redis.UniversalClient, keys registryKeys) error {
	text, err := json.Marshal(controlMessage{Disconnect: &o})
	if err == nil {
		err = client.Publish(ctx, keys.control(), text).Err()
	}
	if err != nil {
		return fmt.Errorf("control channel: %w", err)
	}
	return nil
}
