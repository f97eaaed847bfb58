"""Configurations of ROLL (github.com/alibaba/ROLL), the framework of the paper, read into ours."""
