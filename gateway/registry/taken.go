package registry

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"time"

	"github.com/redis/go-redis/v9"
)

// A broker that has another connection take an MQTT Session over says so in 5.0, if at all, and some only hang up. Where
// the other connection is one of another instance's, that one knows.

const (
	// answerTime is how long other instances are given to say that a client has come to them.
	answerTime = time.Second
	// maxAsked is how many may be asked about at the same time. More connections are not lost one by one, but to a broker
	// that goes away.
	maxAsked = 16
)

// question asks all other instances whether a client has connected there.
type question struct {
	Instance string `json:"instance"` // that asks
	ID       string `json:"id"`
	ClientID string `json:"client_id"` // upstream
}

// TakenOver reports whether another instance says that the client with this upstream Client Identifier has connected
// there. Nobody who says so within a moment, or too many questions at the same time, mean no.
func (r *Registry) TakenOver(ctx context.Context, clientID string) bool {
	if r == nil {
		return false
	}
	q := question{Instance: r.id, ID: rand.Text(), ClientID: clientID}
	yes := make(chan struct{})
	r.mu.Lock()
	if len(r.asked) >= maxAsked {
		r.mu.Unlock()
		return false
	}
	r.asked[q.ID] = yes
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.asked, q.ID)
	}()
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	others, err := r.say(ctx, controlMessage{Asked: &q})
	if err != nil || others <= 0 {
		return false
	}
	select {
	case <-yes:
		return true
	case <-ctx.Done():
		return false
	}
}

// answer answers a question of another instance's, if the answer is yes.
func (r *Registry) answer(ctx context.Context, q question, has func(clientID string) bool) {
	if q.Instance == r.id || !has(q.ClientID) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	_, _ = r.say(ctx, controlMessage{Answered: q.ID}) // who asks waits no longer either
}

// answered hears a yes.
func (r *Registry) answered(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if yes := r.asked[id]; yes != nil {
		close(yes)
		delete(r.asked, id)
	}
}

// say tells all instances something. others is how many hear it beside this one, or more: in a Cluster nobody knows.
func (r *Registry) say(ctx context.Context, message controlMessage) (others int64, err error) {
	text, err := json.Marshal(message)
	if err != nil {
		return 0, err
	}
	heard, err := r.client.Publish(ctx, r.keys.control(), text).Result()
	if _, cluster := r.client.(*redis.ClusterClient); cluster {
		return 1, err
	}
	return heard - 1, err
}
