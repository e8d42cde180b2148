package fair

import "testing"

// Who wants little is served before who wants much, whoever came first, and who has wanted nothing saves up nothing.
func TestUsersAreServedInTurnByCost(t *testing.T) {
	var turns Turns[string]
	var much, little Line[string]
	cost := func(item string) int { return len(item) }
	for range 100 {
		turns.Add(&much, "mmmmmmmmmm")
	}
	for range 50 {
		turns.Take(cost)
	}
	for range 20 {
		turns.Add(&little, "l")
	}
	served := map[string]int{}
	for range 22 {
		served[turns.Take(cost)]++
	}
	if served["l"] != 20 {
		t.Errorf("of 22 turns %d were those of who wants little; want all 20", served["l"])
	}
	for !turns.Empty() {
		turns.Take(cost)
	}
	if much.Len() != 0 || little.Len() != 0 {
		t.Error("a line is not empty though nobody waits")
	}
}

// What is held keeps the rest of its line waiting, and nobody else's.
func TestAHeldLineWaits(t *testing.T) {
	var turns Turns[int]
	var a, b Line[int]
	one := func(int) int { return 1 }
	turns.Add(&a, 1)
	turns.Add(&a, 2)
	if got := turns.Hold(one); got != 1 || !a.Held() || !turns.Empty() {
		t.Fatalf("held %d; want 1, and nothing to be taken", got)
	}
	turns.Add(&b, 3)
	if got := turns.Take(one); got != 3 {
		t.Errorf("took %d; want the other line's", got)
	}
	turns.Release(&a)
	if got := turns.Take(one); got != 2 {
		t.Errorf("took %d; want what waited", got)
	}
}
