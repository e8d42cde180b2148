package session

import "topicgate/policy"

// recent is the topic that was allowed last. Most messages of a session have the topic of the one
// before, and to compare it costs a tenth of asking the rules. It belongs to one pump; the zero value is
// ready.
type recent struct {
	serial uint64 // of the Access that allowed it; 0: none
	rule   *policy.Rule
	size   uint8
	direct bool     // Decision.Directed
	topic  [54]byte // longer ones are not kept
}

// ask returns what decide says of topicName under access.
func (r *recent) ask(access *policy.Access, topicName []byte, decide func(*policy.Access, []byte) policy.Decision) policy.Decision {
	serial := access.Serial()
	if serial != 0 && serial == r.serial && string(topicName) == string(r.topic[:r.size]) {
		return policy.Decision{Allowed: true, Directed: r.direct, Rule: r.rule}
	}
	d := decide(access, topicName)
	if d.Allowed && len(topicName) <= len(r.topic) {
		r.serial, r.rule, r.direct, r.size = serial, d.Rule, d.Directed, uint8(copy(r.topic[:], topicName))
	}
	return d
}
