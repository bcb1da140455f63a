"""The pages: Gradio's frame around the browser modules in static/, and pages without Gradio."""
