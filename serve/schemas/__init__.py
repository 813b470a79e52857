"""Models of requests and answers; the OpenAPI description is generated from them."""
