// The app as a container in Azure Container Apps, in place of Flex Consumption.
param name string
param location string
param tags object = {}
param identityId string
param sourceIdentityId string

@description('The image: see infra/selfhost/Dockerfile.')
param image string

@description('Login server of the registry that the image is pulled from with the identity; empty for a public one.')
param imageRegistry string = ''

param subnetId string = ''

@description('One at least: the timer is what starts all work that nobody announces.')
@minValue(1)
@maxValue(30)
param replicas int = 1

@description('App settings by name.')
param settings object

// Without a host id of its own the host is called by its replica: each would have its own function keys and locks of timers.
var given = union({
  AzureFunctionsWebHost__hostid: name
}, settings)

// Container Apps hands references to a vault on as they are written. They become secrets that it fetches with the identity;
// one that names no SecretUri is refused as an address.
var ofVault = '@Microsoft.KeyVault('
var referred = filter(items(given), one => startsWith(string(one.value), ofVault))

resource managed 'Microsoft.App/managedEnvironments@2024-03-01' = {
  name: '${name}-environment'
  location: location
  tags: tags
  properties: {
    vnetConfiguration: empty(subnetId) ? null : {
      infrastructureSubnetId: subnetId
    }
    workloadProfiles: [
      {
        name: 'Consumption'
        workloadProfileType: 'Consumption'
      }
    ]
  }
}

resource app 'Microsoft.App/containerApps@2024-03-01' = {
  name: name
  location: location
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
      '${sourceIdentityId}': {}
    }
  }
  properties: {
    environmentId: managed.id
    workloadProfileName: 'Consumption'
    configuration: {
      activeRevisionsMode: 'Single'
      ingress: {
        external: true
        targetPort: 8080
        transport: 'auto'
        allowInsecure: false
      }
      registries: empty(imageRegistry) ? [] : [
        {
          server: imageRegistry
          identity: identityId
        }
      ]
      secrets: [for secret in referred: {
        name: toLower(replace(secret.key, '_', '-'))
        keyVaultUrl: replace(replace(string(secret.value), '${ofVault}SecretUri=', ''), ')', '')
        identity: identityId
      }]
    }
    template: {
      terminationGracePeriodSeconds: 120
      containers: [
        {
          name: 'app'
          image: image
          resources: {
            cpu: json('1.0')
            memory: '2Gi'
          }
          env: [for setting in items(given): {
            name: setting.key
            value: startsWith(string(setting.value), ofVault) ? null : string(setting.value)
            secretRef: startsWith(string(setting.value), ofVault) ? toLower(replace(setting.key, '_', '-')) : null
          }]
          probes: [
            {
              type: 'Startup'
              httpGet: {
                path: '/admin/host/ping'
                port: 8080
              }
              periodSeconds: 5
              failureThreshold: 24
            }
            {
              type: 'Liveness'
              httpGet: {
                path: '/admin/host/ping'
                port: 8080
              }
              periodSeconds: 30
              failureThreshold: 4
            }
          ]
        }
      ]
      scale: {
        minReplicas: replicas
        maxReplicas: replicas
      }
    }
  }
}

output name string = app.name
output hostName string = app.properties.configuration.ingress.fqdn
