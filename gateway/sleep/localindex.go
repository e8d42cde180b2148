package sleep

import (
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// localIndex is an index in memory: when the MQTT Sessions of each user end, by upstream Client Identifier. It has as
// many as there may be records; users who have not been on for longest go first. It is for one goroutine.
type localIndex struct {
	users *simplelru.LRU[string, map[string]time.Time]
	total int
	most  int // of a user
}

func newLocalIndex(most int) *localIndex {
	l := &localIndex{most: most}
	l.users, _ = simplelru.NewLRU(inMemory, func(_ string, sessions map[string]time.Time) { l.total -= len(sessions) }) // an error only of a size below 1
	return l
}

// put takes notes in. forget is told of whose Session is beyond the bound.
func (l *localIndex) put(some map[string]note, forget func(id string)) {
	for id, n := range some {
		sessions, _ := l.users.Get(n.username)
		if n.until.IsZero() {
			l.remove(sessions, id)
			continue
		}
		if sessions == nil {
			sessions = map[string]time.Time{}
			l.users.Add(n.username, sessions)
		}
		if _, known := sessions[id]; !known {
			l.total++
		}
		sessions[id] = n.until
		if len(sessions) > l.most {
			l.cut(sessions, forget)
		}
		for l.total > inMemory {
			l.users.RemoveOldest()
		}
	}
}

// cut removes of one user's what has ended, and if that is nothing, what ends soonest.
func (l *localIndex) cut(sessions map[string]time.Time, forget func(id string)) {
	now := time.Now()
	var first string
	for id, until := range sessions {
		if now.After(until) {
			l.remove(sessions, id)
		} else if first == "" || until.Before(sessions[first]) {
			first = id
		}
	}
	if len(sessions) > l.most {
		l.remove(sessions, first)
		forget(first)
	}
}

func (l *localIndex) remove(sessions map[string]time.Time, id string) {
	if _, known := sessions[id]; known {
		delete(sessions, id)
		l.total--
	}
}
