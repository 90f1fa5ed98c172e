# The connector as Airbyte runs it:
#
#     docker build --tag airbyte/source-confluence:2.0.0 .
#
# `airbyte-cdk image build --dockerfile Dockerfile` takes it too. The default below is what metadata.yaml names.
ARG BASE_IMAGE=docker.io/airbyte/python-connector-base:4.1.0
FROM ${BASE_IMAGE}

WORKDIR /airbyte/integration_code
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY source_confluence ./source_confluence
USER root
RUN pip install --no-cache-dir --constraint constraints.txt .

# By number, so that Kubernetes can see that it is not root.
USER 1000:1000
# Airbyte's launcher on Kubernetes starts what the variable says, everything else the entrypoint.
ENV AIRBYTE_ENTRYPOINT="source-confluence"
ENTRYPOINT ["source-confluence"]
