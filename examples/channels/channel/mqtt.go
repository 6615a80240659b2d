package channel

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// mqttEnd sends through a broker. Quality 0: at most once; 1: at least once; 2:
// exactly once. Who is there is retained by the broker, and told to whoever comes
// later; that a service is gone is its last will.
type mqttEnd struct {
	inbox
	client  mqtt.Client
	quality byte
}

func openMQTT(ctx context.Context, self string, quality byte) (*mqttEnd, error) {
	c := &mqttEnd{inbox: newInbox(), quality: quality}
	status := "status/" + self
	o := mqtt.NewClientOptions().AddBroker("tcp://broker:1883").SetClientID(self)
	o.SetCleanSession(false) // what comes while it is away waits for it
	o.SetOrderMatters(false)
	o.SetBinaryWill(status, []byte("gone"), 1, true)
	o.SetOnConnectHandler(func(client mqtt.Client) {
		client.Subscribe("to/"+self, quality, func(_ mqtt.Client, p mqtt.Message) {
			var m Message
			if json.Unmarshal(p.Payload(), &m) == nil {
				c.put(ctx, m)
			}
		})
		client.Subscribe("status/+", 1, func(_ mqtt.Client, p mqtt.Message) {
			how := ""
			if p.Retained() {
				how = ", as is retained"
			}
			fmt.Printf("%s is %s%s\n", strings.TrimPrefix(p.Topic(), "status/"), p.Payload(), how)
		})
		client.Publish(status, 1, true, "here")
	})
	c.client = mqtt.NewClient(o)
	if t := c.client.Connect(); t.Wait() && t.Error() != nil {
		return nil, t.Error()
	}
	return c, nil
}

func (c *mqttEnd) Send(ctx context.Context, to string, m Message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	t := c.client.Publish("to/"+to, c.quality, false, body)
	select {
	case <-t.Done():
		return t.Error()
	case <-ctx.Done():
		return ctx.Err()
	}
}
