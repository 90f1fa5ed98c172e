# The connector as Airbyte runs it:
#
#     docker build --tag source-confluence-cloud:2.0.0 .
#
# `airbyte-cdk image build --dockerfile Dockerfile` also works. The default below is the base image of metadata.yaml.
ARG BASE_IMAGE=docker.io/airbyte/python-connector-base:4.1.0
FROM ${BASE_IMAGE}

WORKDIR /airbyte/integration_code
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY source_confluence ./source_confluence
USER root
RUN pip install --no-cache-dir --constraint constraints.txt .

# A number, so that Kubernetes can verify that it is not root.
USER 1000:1000
# Airbyte's launcher on Kubernetes runs the variable's value; everything else runs the entrypoint.
ENV AIRBYTE_ENTRYPOINT="source-confluence"
ENTRYPOINT ["source-confluence"]
