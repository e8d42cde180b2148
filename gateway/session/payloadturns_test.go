package session

import "testing"

// One user with many sessions waits behind others, and who has gone takes no turn.
func TestLongPayloadsAreServedByUser(t *testing.T) {
	var turns payloadTurns
	for range payloadWorkers() {
		if turns.begin("first", 100) != nil {
			t.Fatal("the first ones have to wait")
		}
	}
	var many []*payloadTurn
	for range 5 {
		many = append(many, turns.begin("many", 100))
	}
	gone, other := turns.begin("gone", 100), turns.begin("other", 100)
	turns.giveUp(gone)
	isGiven := func(turn *payloadTurn) bool {
		select {
		case <-turn.given:
			return true
		default:
			return false
		}
	}
	turns.end()
	turns.end()
	if !isGiven(many[0]) || !isGiven(other) || isGiven(gone) || isGiven(many[1]) {
		t.Errorf("given: many %v, %v, other %v, gone %v; want one of many, and other", isGiven(many[0]), isGiven(many[1]), isGiven(other), isGiven(gone))
	}
	turns.giveUp(other) // that was given it: it goes on to the next
	if !isGiven(many[1]) {
		t.Error("a turn that was given up is lost")
	}
	for range 3 + payloadWorkers() {
		turns.end()
	}
	if turns.working != 0 || turns.users != nil {
		t.Errorf("%d still work, users %v", turns.working, turns.users)
	}
}
