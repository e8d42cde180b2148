package registry

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"math"
	"time"

	"github.com/redis/go-redis/v9"
)

// A broker that has another connection take an MQTT Session over says so in 5.0, if at all, and some only hang up. Where
// the other connection is one of another instance's, that one knows.

const (
	// answerTime is how long other instances are given to answer.
	answerTime = time.Second
	// maxAsked is how many questions may be open at the same time. More connections are not lost one by one, but to a
	// broker that goes away.
	maxAsked = 64
)

// Client is who the other instances are asked about.
type Client struct {
	ID string `json:"client_id"` // upstream Client Identifier
	// Broker and Since, if set, ask for a session that this broker has accepted after that time and that has not ended,
	// or that has left a Will which waits there; else any counts that has asked a broker.
	Broker string    `json:"broker,omitempty"`
	Since  time.Time `json:"since,omitzero"`
}

// question asks all other instances whether they have a client.
type question struct {
	Instance string `json:"instance"` // that asks
	ID       string `json:"id"`
	Client
}

// Elsewhere reports whether another instance says that it has a client. If some don't answer within a moment, or there
// are too many questions at the same time, nobody has.
func (r *Registry) Elsewhere(ctx context.Context, client Client) bool {
	if r == nil {
		return false
	}
	q := question{Instance: r.id, ID: rand.Text(), Client: client}
	answers := make(chan bool, maxAnswers)
	r.mu.Lock()
	if len(r.asked) >= maxAsked {
		r.mu.Unlock()
		return false
	}
	r.asked[q.ID] = answers
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.asked, q.ID)
	}()
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	others, err := r.say(ctx, controlMessage{Asked: &q})
	if err != nil {
		return false
	}
	for ; others > 0; others-- {
		select {
		case yes := <-answers:
			if yes {
				return true
			}
		case <-ctx.Done():
			return false
		}
	}
	return false
}

// maxAnswers to one question are waited for; of more, some may be lost.
const maxAnswers = 64

// answer answers a question of another instance's.
func (r *Registry) answer(ctx context.Context, q question, has func(Client) bool) {
	if q.Instance == r.id {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	message := controlMessage{Denied: q.ID}
	if has(q.Client) {
		message = controlMessage{Answered: q.ID}
	}
	_, _ = r.say(ctx, message) // who asks waits no longer either
}

// answered hears an answer.
func (r *Registry) answered(id string, yes bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case r.asked[id] <- yes: // of an unknown question: never
	default:
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
		return math.MaxInt64, err
	}
	return heard - 1, err
}
