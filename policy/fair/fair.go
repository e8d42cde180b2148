// Package fair says who is next, of users who want different amounts of work: whoever was given least so far.
package fair

import "container/heap"

// Turns serves users in turn, by cost: next is who was given least so far. Who has wanted nothing for a while
// begins with what those got who wait, so he comes before whoever keeps the store busy, and saves up nothing. The zero value is ready for use; whoever owns it guards it.
type Turns[T any] struct {
	waiting lines[T]
	clock   uint64 // what the line served last had been given before
	joined  uint64
}

// Line is what one user waits for. The zero value is ready for use.
type Line[T any] struct {
	items  []T
	given  uint64
	joined uint64 // of those given as much, who came first is first
	held   bool   // what was taken is being done, and the next has to wait
}

// Add puts something at the end of a line.
func (t *Turns[T]) Add(l *Line[T], item T) {
	l.items = append(l.items, item)
	if len(l.items) == 1 && !l.held {
		t.join(l)
	}
}

func (t *Turns[T]) join(l *Line[T]) {
	t.joined++
	l.given, l.joined = max(l.given, t.clock), t.joined
	heap.Push(&t.waiting, l)
}

// Empty tells whether nobody waits.
func (t *Turns[T]) Empty() bool { return len(t.waiting) == 0 }

// Take returns what is next, and charges its user with the cost.
func (t *Turns[T]) Take(cost func(T) int) T {
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

// Hold is Take; the user's next waits until Release.
func (t *Turns[T]) Hold(cost func(T) int) T {
	l := heap.Pop(&t.waiting).(*Line[T])
	l.held = true
	return t.give(l, cost)
}

// Release lets a line go on that Hold has taken from.
func (t *Turns[T]) Release(l *Line[T]) {
	l.held = false
	if len(l.items) > 0 {
		t.join(l)
	}
}

func (t *Turns[T]) give(l *Line[T], cost func(T) int) T {
	item := l.items[0]
	l.items = dropFirst(l.items, 1)
	t.clock = l.given
	l.given += uint64(cost(item))
	return item
}

// Each calls f for all that waits in a line that is not held.
func (t *Turns[T]) Each(f func(T)) {
	for _, l := range t.waiting {
		for _, item := range l.items {
			f(item)
		}
	}
}

// Len is how many wait in a line.
func (l *Line[T]) Len() int { return len(l.items) }

// Held reports whether what Hold took from a line is being done.
func (l *Line[T]) Held() bool { return l.held }

// lines is a heap: the first is next.
type lines[T any] []*Line[T]

func (w lines[T]) Len() int      { return len(w) }
func (w lines[T]) Swap(i, j int) { w[i], w[j] = w[j], w[i] }
func (w lines[T]) Less(i, j int) bool {
	if w[i].given != w[j].given {
		return w[i].given < w[j].given
	}
	return w[i].joined < w[j].joined
}

func (w *lines[T]) Push(l any) { *w = append(*w, l.(*Line[T])) }

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
