"""The components that replace the CDK's where those fall short; `factory` puts them in their places."""
