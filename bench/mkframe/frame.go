package main

import (
	"encoding/binary"
	"maps"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// analytics are cookies that have nothing to do with us, as most requests bring.
const analytics = "theme=dark; _ga=GA1.1.1234567890.1763800000; consent=all"

// headers are those of a browser's request that came through an Istio-like
// gateway, without its cookies and its token.
var headers = map[string]string{
	":authority": "shop.example.test", ":method": "GET", ":path": "/api/v1/orders/4711?expand=items&limit=50", ":scheme": "https",
	"accept": "application/json, text/plain, */*", "accept-encoding": "gzip, deflate, br", "accept-language": "en-GB,en;q=0.9,de;q=0.8",
	"cache-control": "no-cache", "referer": "https://shop.example.test/orders",
	"sec-fetch-dest": "empty", "sec-fetch-mode": "cors", "sec-fetch-site": "same-origin",
	"user-agent":      "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
	"x-forwarded-for": "203.0.113.42", "x-forwarded-proto": "https", "x-envoy-external-address": "203.0.113.42",
	"x-request-id": "6f1f5d52-0a3c-4f0e-9d3b-0a4c3c7a6a55", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	"x-envoy-attempt-count": "1",
}

// frame is the CheckRequest as a gRPC message: a flag byte, the length in four
// bytes, the protobuf; about 2 KB. An empty token sends no Authorization.
func frame(token, cookies string) ([]byte, error) {
	h := maps.Clone(headers)
	h["cookie"] = cookies
	if token != "" {
		h["authorization"] = "Bearer " + token
	}
	message, err := proto.Marshal(&authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source:      peer("203.0.113.42", 51234, "spiffe://cluster.local/ns/istio-ingress/sa/gateway"),
		Destination: peer("10.244.1.17", 8443, "spiffe://cluster.local/ns/shop/sa/orders"),
		Request: &authv3.AttributeContext_Request{Time: timestamppb.Now(), Http: &authv3.AttributeContext_HttpRequest{
			Id: "11762342817317172301", Method: h[":method"], Headers: h, Path: h[":path"], Host: h[":authority"],
			Scheme: h[":scheme"], Protocol: "HTTP/2",
		}},
		ContextExtensions: map[string]string{"policy": "orders-api", "realm": "main"},
	}})
	prefix := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	return append(prefix, message...), err
}

func peer(address string, port uint32, principal string) *authv3.AttributeContext_Peer {
	return &authv3.AttributeContext_Peer{Principal: principal, Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
		SocketAddress: &corev3.SocketAddress{Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}},
	}}}
}
