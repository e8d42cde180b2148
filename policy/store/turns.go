package store

import "container/heap"

// account is what the store owes one user: the keys that are to be read and the grants that are to be built. That
// of no user ("") has the keys that concern many: the rule text and the lines of roles.
type account struct {
	username string
	refs     int // entries and grants that name it; none: forgotten

	reads  line[*entry]
	builds line[*Grant]
	scans  line[*scan]
}

// turns serves users in turn, by cost: next is who was given least so far. Who has wanted nothing for a while
// begins with what those got who wait, so he comes before whoever keeps the store busy, and saves up nothing.
type turns[T any] struct {
	waiting lines[T]
	clock   uint64 // what the line served last had been given before
	joined  uint64
}

// line is what one user waits for.
type line[T any] struct {
	items  []T
	given  uint64
	joined uint64 // of those given as much, who came first is first
	held   bool   // what was taken is being done, and the next has to wait
}

func (t *turns[T]) add(l *line[T], item T) {
	l.items = append(l.items, item)
	if len(l.items) == 1 && !l.held {
		t.join(l)
	}
}

func (t *turns[T]) join(l *line[T]) {
	t.joined++
	l.given, l.joined = max(l.given, t.clock), t.joined
	heap.Push(&t.waiting, l)
}

// empty tells whether nobody waits.
func (t *turns[T]) empty() bool { return len(t.waiting) == 0 }

// take returns what is next, and charges its user with the cost.
func (t *turns[T]) take(cost func(T) int) T {
	l := t.waiting[0]
	item := t.give(l, cost)
	if len(l.items) == 0 {
		heap.Pop(&t.waiting)
	} else {
		t.joined++
		l.joined = t.joined
		heap.Fix(&t.waiting, 0)
	}
	return item
}

// hold is take; the user's next waits until release.
func (t *turns[T]) hold(cost func(T) int) T {
	l := heap.Pop(&t.waiting).(*line[T])
	l.held = true
	return t.give(l, cost)
}

func (t *turns[T]) release(l *line[T]) {
	l.held = false
	if len(l.items) > 0 {
		t.join(l)
	}
}

func (t *turns[T]) give(l *line[T], cost func(T) int) T {
	item := l.items[0]
	l.items = dropFirst(l.items, 1)
	t.clock = l.given
	l.given += uint64(cost(item))
	return item
}

// each calls f for all that waits in a line that is not held.
func (t *turns[T]) each(f func(T)) {
	for _, l := range t.waiting {
		for _, item := range l.items {
			f(item)
		}
	}
}

// lines is a heap: the first is next.
type lines[T any] []*line[T]

func (w lines[T]) Len() int      { return len(w) }
func (w lines[T]) Swap(i, j int) { w[i], w[j] = w[j], w[i] }
func (w lines[T]) Less(i, j int) bool {
	if w[i].given != w[j].given {
		return w[i].given < w[j].given
	}
	return w[i].joined < w[j].joined
}

func (w *lines[T]) Push(l any) { *w = append(*w, l.(*line[T])) }

func (w *lines[T]) Pop() any {
	last := len(*w) - 1
	l := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	return l
}

// dropFirst drops the first n of queue, and its storage with the last.
func dropFirst[T any](queue []T, n int) []T {
	clear(queue[:n])
	if len(queue) == n {
		return nil
	}
	return queue[n:]
}
