// Command stock takes things from the shelf, and fills it when it is empty.
package main

import (
	"github.com/berth-engine/berth/examples/channels/channel"
	"github.com/berth-engine/berth/examples/channels/service"
)

const full = 1000

func main() {
	left := map[string]int{}
	service.Run("stock", "pay", func(m *channel.Message) {
		if left[m.Item] == 0 {
			left[m.Item] = full
		}
		left[m.Item]--
		m.Left = left[m.Item]
	})
}
