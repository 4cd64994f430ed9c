"""Models behind servers: asked over OpenAI's protocol, pulled and loaded over Ollama's own."""
